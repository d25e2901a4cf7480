"""Hugging Face folders (``config.json`` and weights), read and written without transformers."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from crossmae.errors import UserError
from crossmae.files import write_json
from crossmae.model.autoencoder import MaskedAutoencoder
from crossmae.model.blocks import NORM_EPS
from crossmae.parsing import Count, Strict, parse
from crossmae.weights.autoencoder import AutoencoderWeights
from crossmae.weights.checkpoint import CONFIG, read_config
from crossmae.weights.files import Weights, part_of, prefixed, read_weights, write_weights
from crossmae.weights.spec import BackboneSpec, describe, with_final_norm

_FILES = ("model.safetensors", "pytorch_model.bin")
_HEADS = ("classifier.", "pooler.", "vit.pooler.", "decoder.")
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


@dataclass(frozen=True)
class _VitConfig(Strict):
    """What is read of the ``config.json`` of a ViT or ViTMAE."""

    model_type: str | None = None
    num_attention_heads: Count | None = None
    final_norm: bool = True
    """Ours: see ``save_vit``."""
    pretraining: dict[str, Any] = field(default_factory=dict)


def read_vitmae(folder: Path) -> AutoencoderWeights:
    """The whole autoencoder of a ViTMAE folder.

    Raises:
        UserError: no such folder.
    """
    config, weights = read_config(folder), _weights(folder)
    if config.get("model_type") != "vit_mae":
        raise UserError(f"{folder} holds no ViTMAE but model_type {config.get('model_type')!r}")
    encoder = encoder_to_ours(part_of(weights, "vit."))
    decoder = decoder_to_ours(part_of(weights, "decoder."))
    ours = {**prefixed(encoder, "encoder."), **prefixed(decoder, "decoder.")}
    return AutoencoderWeights(ours, _options(config))


def read_encoder(name: str, source: str) -> tuple[Weights, BackboneSpec]:
    """The encoder of a ViT or ViTMAE folder, or of a model of that name on the Hugging Face hub.

    Raises:
        UserError: neither, or not reachable.
    """
    folder = local_folder(name)
    content, weights = read_config(folder), _weights(folder)
    known = {field.name: content[field.name] for field in fields(_VitConfig) if field.name in content}
    config = parse(_VitConfig, known, str(folder / CONFIG))
    if config.model_type not in ("vit", "vit_mae"):
        raise UserError(f"{source} holds no ViT or ViTMAE but model_type {config.model_type!r}")
    weights = {n.removeprefix("vit."): t for n, t in weights.items() if not n.startswith(_HEADS)}
    ours = encoder_to_ours(weights)
    if not config.final_norm:
        ours = {n: t for n, t in ours.items() if not n.startswith("norm.")}
    pretraining = {"method": "MAE"} if config.model_type == "vit_mae" else config.pretraining
    return describe(ours, source, config.num_attention_heads, pretraining)


def save_vitmae(model: MaskedAutoencoder, folder: Path) -> None:
    """Writes an MAE as a folder for ``transformers.ViTMAEForPreTraining.from_pretrained``.

    Raises:
        UserError: the model is no plain MAE, which is all that ViTMAE can hold.
    """
    config = model.config
    if config.decoder != "self" or config.mixed_blocks or config.prediction_ratio != config.mask_ratio:
        raise UserError("Hugging Face ViTMAE holds plain MAE only", "export the encoder with format hf-vit")
    encoder = encoder_from_ours(model.encoder.state_dict())
    decoder = decoder_from_ours(model.decoder.state_dict())
    content = _dimensions(config.embed_dim, config.depth, config.num_heads, config.patch_size, config.image_size) | {
        "architectures": ["ViTMAEForPreTraining"],
        "model_type": "vit_mae",
        "decoder_hidden_size": config.decoder_embed_dim,
        "decoder_num_hidden_layers": config.decoder_depth,
        "decoder_num_attention_heads": config.decoder_num_heads,
        "decoder_intermediate_size": 4 * config.decoder_embed_dim,
        "mask_ratio": config.mask_ratio,
        "norm_pix_loss": config.norm_pix_loss,
    }
    _write({**prefixed(encoder, "vit."), **prefixed(decoder, "decoder.")}, content, folder)


def save_vit(weights: Mapping[str, Tensor], spec: BackboneSpec, folder: Path) -> None:
    """Writes an encoder as a folder for ``transformers.ViTModel.from_pretrained``.

    transformers always applies a final norm. For a backbone without one, an initial norm is written and ``final_norm``
    in ``config.json`` is false: the pretrained features are ``hidden_states[-1]``, and ``Backbone.load`` drops it.

    Raises:
        UserError: layer scale, registers or no class token, which ViT lacks.
    """
    if spec.layer_scale or spec.num_registers or not spec.class_token:
        raise UserError("Hugging Face ViT has a class token, no registers and no layer scale; this backbone differs")
    content = _dimensions(spec.embed_dim, spec.depth, spec.num_heads, spec.patch_size, spec.image_size) | {
        "architectures": ["ViTModel"],
        "model_type": "vit",
        "intermediate_size": round(spec.embed_dim * spec.mlp_ratio),
        "final_norm": spec.final_norm,
        "pretraining": spec.pretraining,
    }
    _write(encoder_from_ours(with_final_norm(weights, spec)), content, folder)


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


def _dimensions(dim: int, depth: int, heads: int, patch_size: int, image_size: int) -> dict[str, Any]:
    return {
        "hidden_size": dim,
        "intermediate_size": 4 * dim,
        "num_hidden_layers": depth,
        "num_attention_heads": heads,
        "patch_size": patch_size,
        "image_size": image_size,
        "num_channels": 3,
        "qkv_bias": True,
        "hidden_act": "gelu",
        "layer_norm_eps": NORM_EPS,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "dtype": "float32",
    }


def _write(weights: Mapping[str, Tensor], config: Mapping[str, Any], folder: Path) -> None:
    write_weights(weights, folder / _FILES[0], {"format": "pt"})
    write_json(config, folder / CONFIG)


def _weights(folder: Path) -> Weights:
    for name in _FILES:
        if (folder / name).is_file():
            return read_weights(folder / name).weights
    raise UserError(f"{folder} has no {' or '.join(_FILES)}")


def local_folder(name: str) -> Path:
    """The folder ``name``, or that of the model of this name on the Hugging Face hub, downloaded if need be.

    Raises:
        UserError: neither a folder nor reachable.
    """
    if Path(name).is_dir():
        return Path(name)
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=[CONFIG, *_FILES]))
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"hf:{name} is no folder and cannot be had from the Hugging Face hub ({reason})") from error


def _options(config: Mapping[str, Any]) -> dict[str, Any]:
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
        match = block.fullmatch(name)
        renamed[f"blocks.{match[1]}.{_renamed(match[2], inside)}" if match else _renamed(name, outside)] = tensor
    return dict(_with_joined_qkv(renamed))


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


def _with_joined_qkv(weights: Weights) -> Iterator[tuple[str, Tensor]]:
    for name, tensor in weights.items():
        if ".attention.attention." not in name:
            yield name, tensor
        elif ".query." in name:
            parts = [weights.get(name.replace(".query.", f".{part}.")) for part in _QKV]
            joined = name.replace("attention.attention.query.", "attn.qkv.")
            yield joined, torch.cat([part for part in parts if part is not None])
