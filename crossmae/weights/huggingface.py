"""Hugging Face folders (``config.json`` and weights), read and written without transformers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from crossmae.backbone import Backbone, BackboneSpec
from crossmae.errors import UserError
from crossmae.files import write_json
from crossmae.model.autoencoder import MaskedAutoencoder
from crossmae.model.blocks import NORM_EPS
from crossmae.weights import huggingface_names as huggingface
from crossmae.weights.checkpoint import CONFIG, read_config
from crossmae.weights.files import Weights, read_weights, write_weights
from crossmae.weights.found import Found, part_of, prefixed
from crossmae.weights.spec import describe

_FILES = ("model.safetensors", "pytorch_model.bin")
_HEADS = ("classifier.", "pooler.", "vit.pooler.", "decoder.")


def read_vitmae(folder: Path) -> Found:
    """The whole autoencoder of a ViTMAE folder.

    Raises:
        UserError: no such folder.
    """
    config, weights = read_config(folder), _weights(folder)
    if config.get("model_type") != "vit_mae":
        raise UserError(f"{folder} holds no ViTMAE but model_type {config.get('model_type')!r}")
    encoder = huggingface.encoder_to_ours(part_of(weights, "vit."))
    decoder = huggingface.decoder_to_ours(part_of(weights, "decoder."))
    ours = {**prefixed(encoder, "encoder."), **prefixed(decoder, "decoder.")}
    return Found(ours, huggingface.options_from_config(config))


def read_backbone(name: str, source: str) -> tuple[Weights, BackboneSpec]:
    """The encoder of a ViT or ViTMAE folder, or of a model of that name on the Hugging Face hub.

    Raises:
        UserError: neither, or not reachable.
    """
    folder = find(name)
    config, weights = read_config(folder), _weights(folder)
    if config.get("model_type") not in ("vit", "vit_mae"):
        raise UserError(f"{source} holds no ViT or ViTMAE but model_type {config.get('model_type')!r}")
    weights = {n.removeprefix("vit."): t for n, t in weights.items() if not n.startswith(_HEADS)}
    ours = huggingface.encoder_to_ours(weights)
    if config.get("final_norm") is False:
        ours = {n: t for n, t in ours.items() if not n.startswith("norm.")}
    pretraining = {"method": "MAE"} if config["model_type"] == "vit_mae" else config.get("pretraining", {})
    return describe(ours, source, config.get("num_attention_heads"), pretraining)


def save_vitmae(model: MaskedAutoencoder, folder: Path) -> None:
    """Writes an MAE as a folder for ``transformers.ViTMAEForPreTraining.from_pretrained``.

    Raises:
        UserError: the model is no plain MAE, which is all that ViTMAE can hold.
    """
    config = model.config
    if config.decoder != "self" or config.mixed_blocks or config.prediction_ratio != config.mask_ratio:
        raise UserError("Hugging Face ViTMAE holds plain MAE only; export the encoder with format hf-vit")
    encoder = huggingface.encoder_from_ours(model.encoder.state_dict())
    decoder = huggingface.decoder_from_ours(model.decoder.state_dict())
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


def save_vit(backbone: Backbone, folder: Path) -> None:
    """Writes an encoder as a folder for ``transformers.ViTModel.from_pretrained``.

    transformers always applies a final norm. For a backbone without one, an initial norm is written and ``final_norm``
    in ``config.json`` is false: the pretrained features are ``hidden_states[-1]``, and ``Backbone.load`` drops it.

    Raises:
        UserError: layer scale, registers or no class token, which ViT lacks.
    """
    spec = backbone.spec
    if spec.layer_scale or spec.num_registers or not spec.class_token:
        raise UserError("Hugging Face ViT has a class token, no registers and no layer scale; this backbone differs")
    weights = backbone.state_dict()
    if not spec.final_norm:
        weights |= {"norm.weight": torch.ones(spec.embed_dim), "norm.bias": torch.zeros(spec.embed_dim)}
    content = _dimensions(spec.embed_dim, spec.depth, spec.num_heads, spec.patch_size, spec.image_size) | {
        "architectures": ["ViTModel"],
        "model_type": "vit",
        "intermediate_size": round(spec.embed_dim * spec.mlp_ratio),
        "final_norm": spec.final_norm,
        "pretraining": spec.pretraining,
    }
    _write(huggingface.encoder_from_ours(weights), content, folder)


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


def find(name: str) -> Path:
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
