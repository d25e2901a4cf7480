"""Names of Hugging Face's ViTMAE and ViT, and ours."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from crossmae.weights.files import Weights

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


def options_from_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Options named as in MAEConfig from a ViTMAE ``config.json``."""
    names = {
        "image_size": "image_size",
        "num_attention_heads": "num_heads",
        "decoder_num_attention_heads": "decoder_num_heads",
        "mask_ratio": "mask_ratio",
        "norm_pix_loss": "norm_pix_loss",
    }
    return {ours: config[theirs] for theirs, ours in names.items() if theirs in config}


def _to_ours(weights: Mapping[str, Tensor], table: Mapping[str, str], blocks: str) -> Weights:
    block = re.compile(re.escape(blocks) + r"(\d+)\.(.+)")
    inside, outside = ({theirs: ours for ours, theirs in names.items()} for names in (_BLOCK, table))
    renamed: Weights = {}
    for name, tensor in weights.items():
        found = block.fullmatch(name)
        renamed[f"blocks.{found[1]}.{_renamed(found[2], inside)}" if found else _renamed(name, outside)] = tensor
    return dict(_with_joined_qkv(renamed))


def _from_ours(weights: Mapping[str, Tensor], table: Mapping[str, str], blocks: str) -> Weights:
    renamed: Weights = {}
    for name, tensor in weights.items():
        found = re.fullmatch(r"blocks\.(\d+)\.(.+)", name)
        if not found:
            renamed[_renamed(name, table)] = tensor
        elif found[2].startswith("attn.qkv."):
            kind = found[2].removeprefix("attn.qkv.")
            for part, third in zip(_QKV, tensor.chunk(3), strict=True):
                renamed[f"{blocks}{found[1]}.attention.attention.{part}.{kind}"] = third
        else:
            renamed[f"{blocks}{found[1]}.{_renamed(found[2], _BLOCK)}"] = tensor
    return renamed


def _renamed(name: str, table: Mapping[str, str]) -> str:
    for prefix, other in table.items():
        if name.startswith(prefix):
            return other + name.removeprefix(prefix)
    return name


def _with_joined_qkv(weights: Weights) -> Iterator[tuple[str, Tensor]]:
    for name, tensor in weights.items():
        if ".attention.attention." not in name:
            yield name, tensor
        elif ".query." in name:
            parts = [weights.get(name.replace(".query.", f".{part}.")) for part in _QKV]
            joined = name.replace("attention.attention.query.", "attn.qkv.")
            yield joined, torch.cat([part for part in parts if part is not None])
