"""What a plain vision transformer is and where it comes from, read off its weights."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from torch import Tensor

from crossmae.errors import UserError
from crossmae.model.blocks import NORM_EPS
from crossmae.model.presets import PRESETS, arch_of
from crossmae.parsing import Count, CountOrZero, Positive, Strict
from crossmae.weights.files import Weights, misfit

Activation = Literal["gelu", "gelu_tanh", "quick_gelu"]
"""Of the MLPs: exact, by the tanh formula, or x * sigmoid(1.702 x)."""

RGB = tuple[float, float, float]

IMAGENET_MEAN: RGB = (0.485, 0.456, 0.406)
IMAGENET_STD: RGB = (0.229, 0.224, 0.225)

_NORM = ("norm.weight", "norm.bias")


@dataclass(frozen=True)
class BackboneSpec(Strict):
    """What a vision transformer is and where it comes from."""

    arch: str | None
    """Preset with these dimensions (``vit_b16``, ...), if there is one."""
    embed_dim: Count
    depth: CountOrZero
    num_heads: Count
    patch_size: Count
    image_size: CountOrZero
    """Side in pixels of the images that the position embeddings are made for."""
    mlp_ratio: Positive
    class_token: bool
    num_registers: CountOrZero
    final_norm: bool
    """Whether there is a norm after the last block; CrossMAE's weights have none."""
    layer_scale: bool
    source: str
    pretraining: dict[str, Any] = field(default_factory=dict)
    """How the weights were made, as far as the source says."""
    missing: tuple[str, ...] = ()
    """timm names that the weights lack: the final norm of CrossMAE's."""
    activation: Activation = "gelu"
    norm_eps: Positive = NORM_EPS
    """Epsilon of all norms."""
    mean: RGB = IMAGENET_MEAN
    """What is taken off pixels in the unit range before they go in."""
    std: RGB = IMAGENET_STD
    """What they are divided by then."""

    @property
    def num_prefix(self) -> int:
        """Tokens before the patches: class token and registers."""
        return int(self.class_token) + self.num_registers

    @property
    def grid(self) -> int:
        """Patches along one side of ``image_size``."""
        return self.image_size // self.patch_size


def describe(
    weights: Mapping[str, Tensor],
    source: str,
    num_heads: int | None = None,
    pretraining: Mapping[str, Any] | None = None,
) -> tuple[Weights, BackboneSpec]:
    """Weights with complete position embeddings, and their specification.

    Args:
        weights: timm names.
        num_heads: cannot be read off the weights; None is enough for the dimensions of a preset.

    Raises:
        UserError: no plain vision transformer, or an unknown number of heads.
    """
    dimensions = {name: weights[name].ndim for name in ("patch_embed.proj.weight", "pos_embed") if name in weights}
    if dimensions != {"patch_embed.proj.weight": 4, "pos_embed": 3}:
        lacking = "no patch_embed.proj.weight or no pos_embed"
        raise UserError(f"{source} holds no vision transformer ({lacking})", "give weights of a plain ViT")
    _refuse_gates(weights, source)
    spec = _read(weights, source, num_heads, dict(pretraining or {}))
    complete = {**weights, "pos_embed": _with_prefix(weights["pos_embed"], spec.num_prefix)}
    spec = replace(spec, image_size=_side(complete["pos_embed"].shape[1] - spec.num_prefix, source) * spec.patch_size)
    if complaint := misfit(_expected(spec), complete):
        raise UserError(f"{source} is no plain vision transformer: {complaint}")
    return complete, spec


def with_final_norm(weights: Mapping[str, Tensor], spec: BackboneSpec) -> Weights:
    """The weights with an initial final norm if they have none, for libraries whose models always apply one."""
    if spec.final_norm:
        return dict(weights)
    return {**weights, _NORM[0]: torch.ones(spec.embed_dim), _NORM[1]: torch.zeros(spec.embed_dim)}


def count_blocks(weights: Mapping[str, Tensor], prefix: str) -> int:
    """Number of blocks ``<prefix>N.`` among the names of ``weights``."""
    pattern = re.compile(re.escape(prefix) + r"(\d+)\.")
    return 1 + max((int(match[1]) for name in weights if (match := pattern.match(name))), default=-1)


def _read(
    weights: Mapping[str, Tensor], source: str, num_heads: int | None, pretraining: dict[str, Any]
) -> BackboneSpec:
    embed_dim, _, _, patch_size = weights["patch_embed.proj.weight"].shape
    depth = count_blocks(weights, "blocks.")
    arch = arch_of(embed_dim, depth, patch_size)
    if num_heads is None and arch is None:
        raise UserError(f"{source} does not say how many attention heads it has", "give num_heads")
    final_norm = _NORM[0] in weights
    return BackboneSpec(
        arch=arch,
        embed_dim=embed_dim,
        depth=depth,
        num_heads=num_heads or PRESETS[str(arch)]["num_heads"],
        patch_size=patch_size,
        image_size=0,
        mlp_ratio=weights["blocks.0.mlp.fc1.weight"].shape[0] / embed_dim if depth else 4.0,
        class_token="cls_token" in weights,
        num_registers=weights["reg_token"].shape[1] if "reg_token" in weights else 0,
        final_norm=final_norm,
        layer_scale="blocks.0.ls1.gamma" in weights,
        source=source,
        pretraining=pretraining,
        missing=() if final_norm else _NORM,
    )


def _refuse_gates(weights: Mapping[str, Tensor], source: str) -> None:
    """SwiGLU has twice as many inputs to its gate as to its second layer, or a layer of its own for each half."""
    first, second = (weights.get(f"blocks.0.mlp.{layer}.weight") for layer in ("fc1", "fc2"))
    packed = first is not None and second is not None and first.shape[0] == 2 * second.shape[1]
    if packed or any(name.startswith(("blocks.0.mlp.fc1_g.", "blocks.0.mlp.w12.")) for name in weights):
        raise UserError(f"{source} has gated MLPs (SwiGLU), which no task can take", "use a ViT with plain MLPs")


def _expected(spec: BackboneSpec) -> Weights:
    """Names and shapes of all weights of such a transformer."""
    dim, hidden = spec.embed_dim, round(spec.embed_dim * spec.mlp_ratio)
    shapes: dict[str, tuple[int, ...]] = {
        "pos_embed": (1, spec.num_prefix + spec.grid**2, dim),
        "patch_embed.proj.weight": (dim, 3, spec.patch_size, spec.patch_size),
        "patch_embed.proj.bias": (dim,),
    }
    if spec.class_token:
        shapes["cls_token"] = (1, 1, dim)
    if spec.num_registers:
        shapes["reg_token"] = (1, spec.num_registers, dim)
    if spec.final_norm:
        shapes |= dict.fromkeys(_NORM, (dim,))
    for index in range(spec.depth):
        block = _linear("attn.qkv", 3 * dim, dim) | _linear("attn.proj", dim, dim)
        block |= _linear("mlp.fc1", hidden, dim) | _linear("mlp.fc2", dim, hidden)
        block |= {f"{norm}.{kind}": (dim,) for norm in ("norm1", "norm2") for kind in ("weight", "bias")}
        if spec.layer_scale:
            block |= {"ls1.gamma": (dim,), "ls2.gamma": (dim,)}
        shapes |= {f"blocks.{index}.{name}": shape for name, shape in block.items()}
    return {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}


def _linear(name: str, outputs: int, inputs: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def _with_prefix(pos_embed: Tensor, num_prefix: int) -> Tensor:
    """A row of zeros for every prefix token of models that give positions to patches only."""
    length = pos_embed.shape[1]
    if num_prefix == 0 or round(length**0.5) ** 2 != length:
        return pos_embed
    return torch.cat([pos_embed.new_zeros(1, num_prefix, pos_embed.shape[2]), pos_embed], dim=1)


def _side(patches: int, source: str) -> int:
    side = round(max(patches, 0) ** 0.5)
    if side**2 != patches:
        raise UserError(f"{source}: {patches} patch positions are no square grid")
    return side
