"""The names that other code gives to the weights of a vision transformer, and timm's."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from crossmae.errors import UserError
from crossmae.weights.files import Weights

Rules = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Layout:
    """One way to name the weights of a plain ViT."""

    name: str
    patches: str
    """The kernel of the patch embedding: what stands before it in a file is the prefix of the encoder's names."""
    block: str
    """What names of the first block begin with, a regular expression."""
    rules: Rules
    """Regular expressions and replacements, applied to every name in this order; the result is timm's."""


LAYOUTS = (
    Layout(
        "timm",
        "patch_embed.proj.weight",
        r"blocks\.0\.",
        (
            (r"^blocks\.\d+\.(\d+)\.", r"blocks.\1."),  # DINOv2 trains its blocks in chunks
            (r"^register_tokens$", "reg_token"),
            (r"^dist_token$", "reg_token"),
        ),
    ),
    Layout(
        "mmpretrain",
        "patch_embed.projection.weight",
        r"layers\.0\.ln1\.",
        (
            (r"^patch_embed\.projection\.", "patch_embed.proj."),
            (r"^layers\.", "blocks."),
            (r"^ln1\.", "norm."),
            (r"^ln2\.", "fc_norm."),
            (r"\.ln([12])\.", r".norm\1."),
            (r"\.attn\.attn\.in_proj_(weight|bias)$", r".attn.qkv.\1"),
            (r"\.attn\.attn\.out_proj\.", ".attn.proj."),
            (r"\.ffn\.layers\.0\.0\.", ".mlp.fc1."),
            (r"\.ffn\.layers\.1\.", ".mlp.fc2."),
            (r"(?:\.attn|\.ffn)?\.gamma_?([12])(?:\.weight)?$", r".ls\1.gamma"),
        ),
    ),
    Layout(
        "torchvision",
        "conv_proj.weight",
        r"encoder\.layers\.encoder_layer_0\.",
        (
            (r"^conv_proj\.", "patch_embed.proj."),
            (r"^class_token$", "cls_token"),
            (r"^encoder\.pos_embedding$", "pos_embed"),
            (r"^encoder\.ln\.", "norm."),
            (r"^encoder\.layers\.encoder_layer_", "blocks."),
            (r"\.ln_([12])\.", r".norm\1."),
            (r"\.self_attention\.in_proj_(weight|bias)$", r".attn.qkv.\1"),
            (r"\.self_attention\.out_proj\.", ".attn.proj."),
            (r"\.mlp\.(?:0|linear_1)\.", ".mlp.fc1."),
            (r"\.mlp\.(?:3|linear_2)\.", ".mlp.fc2."),
        ),
    ),
    Layout(
        "transformers",
        "embeddings.patch_embeddings.projection.weight",
        r"(?:encoder\.)?layers?\.0\.attention\.",
        (
            (r"^embeddings\.patch_embeddings\.projection\.", "patch_embed.proj."),
            (r"^embeddings\.position_embeddings$", "pos_embed"),
            (r"^embeddings\.(cls_token|mask_token)$", r"\1"),
            (r"^embeddings\.(?:register_tokens|distillation_token)$", "reg_token"),
            (r"^layernorm\.", "norm."),
            (r"^(?:encoder\.)?layers?\.", "blocks."),
            (r"\.layernorm_before\.", ".norm1."),
            (r"\.layernorm_after\.", ".norm2."),
            (r"\.attention\.(?:attention\.)?(query|key|value)\.", r".attn.\1."),
            (r"\.attention\.q_proj\.", ".attn.query."),
            (r"\.attention\.k_proj\.", ".attn.key."),
            (r"\.attention\.v_proj\.", ".attn.value."),
            (r"\.attention\.(?:output\.dense|o_proj)\.", ".attn.proj."),
            (r"\.intermediate\.dense\.", ".mlp.fc1."),
            (r"\.output\.dense\.", ".mlp.fc2."),
            (r"\.layer_scale([12])\.lambda1$", r".ls\1.gamma"),
        ),
    ),
)

_QKV: Rules = tuple(
    (rf"\.(?:self_attn|attention)\.{short}_proj\.", f".attn.{name}.")
    for short, name in {"q": "query", "k": "key", "v": "value"}.items()
)

CLIP = Layout(
    "transformers CLIP",
    "embeddings.patch_embedding.weight",
    r"encoder\.layers\.0\.",
    (
        (r"^encoder\.layers\.", "blocks."),
        *_QKV,
        (r"\.self_attn\.out_proj\.", ".attn.proj."),
        (r"\.layer_norm([12])\.", r".norm\1."),
        (r"^pre_layrnorm\.", "norm_pre."),
        (r"^post_layernorm\.", "norm."),
        (r"^embeddings\.patch_embedding\.", "patch_embed.proj."),
        (r"^embeddings\.position_embedding\.weight$", "pos_embed"),
        (r"^embeddings\.class_embedding$", "cls_token"),
    ),
)

SIGLIP = replace(
    CLIP,
    name="transformers SigLIP",
    rules=(
        *CLIP.rules,
        (r"^head\.probe$", "attn_pool.latent"),
        (r"^head\.attention\.in_proj_(weight|bias)$", r"attn_pool.qkv.\1"),
        (r"^head\.attention\.out_proj\.", "attn_pool.proj."),
        (r"^head\.layernorm\.", "attn_pool.norm."),
        (r"^head\.mlp\.", "attn_pool.mlp."),
    ),
)

DINOV3 = Layout(
    "transformers DINOv3",
    "embeddings.patch_embeddings.weight",
    r"(?:model\.)?layer\.0\.",
    (
        (r"^(?:model\.)?layer\.", "blocks."),
        (r"\.attention\.([qkv])_proj\.bias$", r".attn.\1_bias"),
        *_QKV,
        (r"\.attention\.o_proj\.", ".attn.proj."),
        (r"\.layer_scale([12])\.lambda1$", r".gamma_\1"),
        (r"\.mlp\.gate_proj\.", ".mlp.fc1_g."),
        (r"\.mlp\.up_proj\.", ".mlp.fc1."),
        (r"\.mlp\.down_proj\.", ".mlp.fc2."),
        (r"^embeddings\.patch_embeddings\.", "patch_embed.proj."),
        (r"^embeddings\.(cls_token|mask_token)$", r"\1"),
        (r"^embeddings\.register_tokens$", "reg_token"),
    ),
)

DINOV2_GATED = replace(
    LAYOUTS[-1],
    name="transformers DINOv2",
    rules=(*LAYOUTS[-1].rules, (r"\.mlp\.weights_in\.", ".mlp.fc1."), (r"\.mlp\.weights_out\.", ".mlp.fc2.")),
)

LEFT_OUT = re.compile(
    # MAE's and CrossMAE's decoders; heads of classifiers and of self-distillation; what only masked inputs need.
    r"(decoder|dec_norms|wfm|mask_token|head|dino_head|ibot_head|fc_norm|fc\.|pre_logits|pooler|classifier|projector)"
    r"|(cls|distillation)_classifier"
)
"""What names begin with that no encoder needs."""


def to_timm(weights: Mapping[str, Tensor], layout: Layout) -> tuple[Weights, tuple[str, ...]]:
    """The encoder's weights under timm's names, and the names of those that no encoder needs.

    Positions get a row for every prefix token: the registers of DINOv2 have none.

    Raises:
        UserError: two weights of one name.
    """
    renamed: Weights = {}
    for name, tensor in weights.items():
        new = _renamed(name, layout.rules)
        if new in renamed:
            raise UserError(f"two weights are called {new} in timm's names, one of them {name}")
        renamed[new] = tensor
    left_out = tuple(name for name in renamed if LEFT_OUT.match(name))
    encoder = with_joined_qkv({name: tensor for name, tensor in renamed.items() if name not in left_out})
    return _with_register_positions(encoder), left_out


def with_joined_qkv(weights: Mapping[str, Tensor]) -> Weights:
    """``attn.query``, ``attn.key`` and ``attn.value`` as the one ``attn.qkv`` of timm.

    Raises:
        UserError: they are not all there or of several shapes.
    """
    joined: Weights = {}
    for name, tensor in weights.items():
        if ".attn.query." in name:
            parts = [weights.get(name.replace(".query.", f".{part}.")) for part in ("query", "key", "value")]
            present = [part for part in parts if part is not None and part.ndim and part.shape == tensor.shape]
            if len(present) < len(parts):
                raise UserError(f"query, key and value of {name} are not of one shape", "take a complete file")
            joined[name.replace(".query.", ".qkv.")] = torch.cat(present)
        elif ".attn.key." not in name and ".attn.value." not in name:
            joined[name] = tensor
    return joined


def _renamed(name: str, rules: Rules) -> str:
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name


def _with_register_positions(weights: Weights) -> Weights:
    """DINOv2 adds positions before it inserts registers: in timm's order theirs are rows of zeros."""
    registers, positions = weights.get("reg_token"), weights.get("pos_embed")
    if registers is None or positions is None or registers.ndim != 3 or positions.ndim != 3:
        return weights
    patches = positions.shape[1] - 1
    if (
        registers.shape[2] != positions.shape[2]
        or "cls_token" not in weights
        or patches < 1
        or round(patches**0.5) ** 2 != patches
    ):
        return weights
    zeros = positions.new_zeros(1, registers.shape[1], positions.shape[2])
    return {**weights, "pos_embed": torch.cat([positions[:, :1], zeros, positions[:, 1:]], dim=1)}
