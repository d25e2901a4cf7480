"""Weights out: released names, timm's, Hugging Face folders."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from crossmae.errors import UserError
from crossmae.model.autoencoder import MaskedAutoencoder
from crossmae.weights.checkpoint import save_backbone
from crossmae.weights.files import OPTIONS, write_torch, write_weights
from crossmae.weights.layouts.released import to_official
from crossmae.weights.sources import SPEC, load_pretrained, read_source
from crossmae.weights.spec import BackboneSpec, with_final_norm

Format = Literal["official", "timm", "hf-vitmae", "hf-vit", "backbone"]
FORMATS: tuple[Format, ...] = ("official", "timm", "hf-vitmae", "hf-vit", "backbone")


def export(source: str, destination: Path, form: str) -> None:
    """Writes the weights of ``source`` in another form.

    ``official`` (a ``.pth`` or ``.safetensors``) and ``hf-vitmae`` (a folder) hold the whole autoencoder; ``timm``
    (a ``.safetensors``), ``hf-vit`` (a folder) and ``backbone`` (a folder of ours) hold the encoder.

    Raises:
        UserError: unknown form, unreadable source, or a model that the form cannot hold.
    """
    if form not in FORMATS:
        raise UserError(f"no format {form!r}", f"the formats are {', '.join(FORMATS)} and onnx")
    if form == "official":
        save_official(load_pretrained(source), destination)
    elif form == "hf-vitmae":
        from crossmae.weights.huggingface.vitmae import save_vitmae

        save_vitmae(load_pretrained(source), destination)
    else:
        _export_encoder(*read_source(source, seed=0), destination, form)


def save_official(model: MaskedAutoencoder, path: Path) -> None:
    """Writes the released names to a ``.pth`` (as the released code does, under ``model``) or a ``.safetensors``.

    The configuration goes along, so that ``load_pretrained`` needs no options.

    Raises:
        UserError: another suffix.
    """
    weights, options = to_official(model.state_dict()), model.config.to_dict()
    if path.suffix == ".safetensors":
        write_weights(weights, path, {OPTIONS: json.dumps(options)})
    elif path.suffix == ".pth":
        content = {"model": _detached(weights), OPTIONS: options}
        write_torch(content, path)
    else:
        raise UserError(f"{path}: released names are written to a .pth or a .safetensors")


def save_timm(weights: Mapping[str, Tensor], spec: BackboneSpec, path: Path) -> None:
    """Writes timm's names to a ``.safetensors``, for ``timm.create_model(..., num_classes=0, checkpoint_path=path)``.

    timm's models always have a final norm. For a backbone without one, an initial norm is written: the pretrained
    features are those before it (``forward_intermediates(..., norm=False)``). ``Backbone.load`` drops it again.
    """
    if path.suffix != ".safetensors":
        raise UserError(f"{path}: timm's names are written to a .safetensors", "choose a path that ends so")
    write_weights(with_final_norm(weights, spec), path, {SPEC: json.dumps(asdict(spec))})


def _export_encoder(weights: Mapping[str, Tensor], spec: BackboneSpec, destination: Path, form: str) -> None:
    if form == "timm":
        save_timm(weights, spec, destination)
    elif form == "hf-vit":
        from crossmae.weights.huggingface.vit import save_vit

        save_vit(weights, spec, destination)
    else:
        save_backbone(weights, spec, destination)


def _detached(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    return {name: tensor.detach().cpu() for name, tensor in weights.items()}
