"""Where a backbone can come from."""

import json
from pathlib import Path

import torch

from crossmae.backbone import FORMAT, BackboneSpec, spec_from_dict
from crossmae.errors import UserError
from crossmae.model.autoencoder import MaskedAutoencoder
from crossmae.model.config import MAEConfig
from crossmae.model.presets import preset_config
from crossmae.weights.autoencoder import autoencoder_in
from crossmae.weights.checkpoint import AUTOENCODER, WEIGHTS, read_checkpoint, read_config
from crossmae.weights.files import Weights, read_weights
from crossmae.weights.found import part_of
from crossmae.weights.spec import describe

SPEC = "crossmae_backbone"
"""Under this key a file with timm's names carries its BackboneSpec."""


def read_source(source: str, seed: int, num_heads: int | None = None) -> tuple[Weights, BackboneSpec]:
    """Weights under timm's names and their specification; see ``Backbone.load``."""
    kind, colon, name = source.partition(":")
    if colon and kind == "random":
        return _random(name, source, seed)
    if colon and kind == "timm":
        from crossmae.weights.timm import read_timm

        return read_timm(name, source)
    if colon and kind == "hf":
        from crossmae.weights.huggingface import read_backbone

        return read_backbone(name, source)
    path = Path(source)
    if path.is_dir():
        return _folder(path)
    if path.is_file():
        return _file(path, num_heads)
    raise UserError(
        f"no backbone {source!r}: give a checkpoint folder, a weight file, timm:NAME, hf:FOLDER_OR_NAME or "
        "random:PRESET"
    )


def _random(preset: str, source: str, seed: int) -> tuple[Weights, BackboneSpec]:
    # MAE's encoder: unlike CrossMAE's it has a final norm, so that nothing is missing.
    config = preset_config(preset, decoder="self", decoder_depth=1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = MaskedAutoencoder(config)
    pretraining = {"method": "none", "seed": seed}
    return describe(part_of(model.state_dict(), "encoder."), source, config.num_heads, pretraining)


def _folder(folder: Path) -> tuple[Weights, BackboneSpec]:
    content = read_config(folder)
    if content.get("format") == FORMAT:
        return read_weights(folder / WEIGHTS).weights, spec_from_dict(content["backbone"])
    if content.get("format") == AUTOENCODER:
        checkpoint = read_checkpoint(folder)
        pretraining = {**method(checkpoint.config), **checkpoint.pretraining}
        return describe(part_of(checkpoint.weights, "encoder."), str(folder), checkpoint.config.num_heads, pretraining)
    raise UserError(f"{folder} is no checkpoint of ours; a Hugging Face folder is given as hf:{folder}")


def _file(path: Path, num_heads: int | None) -> tuple[Weights, BackboneSpec]:
    file = read_weights(path)
    if SPEC in file.arguments:
        spec = spec_from_dict(json.loads(file.arguments[SPEC]))
        return {name: tensor for name, tensor in file.weights.items() if name not in spec.missing}, spec
    found = autoencoder_in(file)
    pretraining = {"method": "CrossMAE" if "decoder.mixing.weight" in found.weights else "MAE", **found.options}
    heads = found.options.get("num_heads", num_heads)
    return describe(part_of(found.weights, "encoder."), str(path), heads, pretraining)


def method(config: MAEConfig) -> dict[str, object]:
    """How an autoencoder of this configuration is pretrained, for the records."""
    return {
        "method": "MAE" if config.decoder == "self" else "CrossMAE",
        "mask_ratio": config.mask_ratio,
        "prediction_ratio": config.prediction_ratio,
    }
