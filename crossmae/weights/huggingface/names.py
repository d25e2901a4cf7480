"""The names that transformers gives the weights of a ViT and of ViTMAE's decoder, and ours."""

import re
from collections.abc import Mapping

from torch import Tensor

from crossmae.weights.files import Weights
from crossmae.weights.layouts.names import with_joined_qkv

_QKV = ("query", "key", "value")

# Ours -> theirs, within a block.
_BLOCK = {
    "norm1": "layernorm_before",
    "attn.proj": "attention.output.dense",
    "norm2": "layernorm_after",
    "mlp.fc1": "intermediate.dense",
    "mlp.fc2": "output.dense",
}

_ENCODER = {
    "cls_token": "embeddings.cls_token",
    "pos_embed": "embeddings.position_embeddings",
    "patch_embed.proj.": "embeddings.patch_embeddings.projection.",
    "norm.": "layernorm.",
}

_DECODER = {
    "mask_token": "mask_token",
    "pos_embed": "decoder_pos_embed",
    "embed.": "decoder_embed.",
    "norm.": "decoder_norm.",
    "pred.": "decoder_pred.",
}

_ENCODER_BLOCKS, _DECODER_BLOCKS = "encoder.layer.", "decoder_layers."

# How transformers 5 writes the decoder's blocks.
_DECODER_BLOCKS_5 = "decoder_encoder.layer."


def encoder_to_ours(weights: Mapping[str, Tensor]) -> Weights:
    """timm names for the weights of a ``ViTModel`` (names without ``vit.``)."""
    return _to_ours(weights, _ENCODER, _ENCODER_BLOCKS)


def decoder_to_ours(weights: Mapping[str, Tensor]) -> Weights:
    """Our decoder's names for those of a ``ViTMAEDecoder`` (names without ``decoder.``)."""
    renamed = {name.replace(_DECODER_BLOCKS_5, _DECODER_BLOCKS): tensor for name, tensor in weights.items()}
    return _to_ours(renamed, _DECODER, _DECODER_BLOCKS)


def encoder_from_ours(weights: Mapping[str, Tensor]) -> Weights:
    """The inverse of ``encoder_to_ours``."""
    return _from_ours(weights, _ENCODER, _ENCODER_BLOCKS)


def decoder_from_ours(weights: Mapping[str, Tensor]) -> Weights:
    """The inverse of ``decoder_to_ours``."""
    return _from_ours(weights, _DECODER, _DECODER_BLOCKS)


def _to_ours(weights: Mapping[str, Tensor], table: Mapping[str, str], blocks: str) -> Weights:
    block = re.compile(re.escape(blocks) + r"(\d+)\.(.+)")
    inside, outside = ({theirs: ours for ours, theirs in names.items()} for names in (_BLOCK, table))
    renamed: Weights = {}
    for name, tensor in weights.items():
        match = block.fullmatch(name)
        renamed[f"blocks.{match[1]}.{_renamed(match[2], inside)}" if match else _renamed(name, outside)] = tensor
    queries = {name.replace("attention.attention.", "attn."): tensor for name, tensor in renamed.items()}
    return with_joined_qkv(queries)


def _from_ours(weights: Mapping[str, Tensor], table: Mapping[str, str], blocks: str) -> Weights:
    renamed: Weights = {}
    for name, tensor in weights.items():
        match = re.fullmatch(r"blocks\.(\d+)\.(.+)", name)
        if not match:
            renamed[_renamed(name, table)] = tensor
        elif match[2].startswith("attn.qkv."):
            kind = match[2].removeprefix("attn.qkv.")
            for part, third in zip(_QKV, tensor.chunk(3), strict=True):
                renamed[f"{blocks}{match[1]}.attention.attention.{part}.{kind}"] = third
        else:
            renamed[f"{blocks}{match[1]}.{_renamed(match[2], _BLOCK)}"] = tensor
    return renamed


def _renamed(name: str, table: Mapping[str, str]) -> str:
    for prefix, other in table.items():
        if name.startswith(prefix):
            return other + name.removeprefix(prefix)
    return name
