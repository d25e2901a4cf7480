"""Where weights can come from: the doors for backbones and for whole autoencoders."""

from pathlib import Path
from typing import Any

import torch

from crossmae.errors import UserError
from crossmae.model.autoencoder import MaskedAutoencoder
from crossmae.model.config import MAEConfig
from crossmae.model.presets import preset_config
from crossmae.parsing import parse_json
from crossmae.weights.autoencoder import AutoencoderWeights, autoencoder_in, build_autoencoder, infer_config
from crossmae.weights.checkpoint import (
    AUTOENCODER,
    BACKBONE,
    CONFIG,
    load_checkpoint,
    read_backbone,
    read_checkpoint,
    read_config,
)
from crossmae.weights.files import Weights, part_of, read_weights
from crossmae.weights.spec import BackboneSpec, describe

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
        from crossmae.weights.huggingface import read_encoder

        return read_encoder(name, source)
    path = Path(source)
    if path.is_dir():
        return _folder(path)
    if path.is_file():
        return _file(path, num_heads)
    raise UserError(
        f"no backbone {source!r}: give a checkpoint folder, a weight file, timm:NAME, hf:FOLDER_OR_NAME or "
        "random:PRESET"
    )


def load_pretrained(
    source: str | Path, /, num_heads: int | None = None, decoder_num_heads: int | None = None, **overrides: Any
) -> MaskedAutoencoder:
    """The whole autoencoder of ``source``, in evaluation mode.

    Args:
        source: folder of ours (``RUN/checkpoint``), a released CrossMAE or MAE ``.pth``, a ``.safetensors`` with the
            released names (also under ``weights/``), or a Hugging Face ViTMAE folder or ``hf:FOLDER_OR_NAME``.
        overrides: options named as in MAEConfig that the weights cannot tell and the file does not say. None means
            not given.

    Raises:
        UserError: no such source, an option that must be given, or weights that do not fit: each in one line.
    """
    options = {"num_heads": num_heads, "decoder_num_heads": decoder_num_heads, **overrides}
    given = {name: value for name, value in options.items() if value is not None}
    path = _local(str(source))
    if path.is_dir() and read_config(path).get("format"):
        model = load_checkpoint(path)
        _refuse_contradictions(model, given)
        return model.eval()
    theirs = _autoencoder(path)
    config = infer_config(theirs.weights, {**theirs.options, **given})
    return build_autoencoder(config, theirs.weights, str(source)).eval()


def _random(preset: str, source: str, seed: int) -> tuple[Weights, BackboneSpec]:
    # MAE's encoder: unlike CrossMAE's it has a final norm, so that nothing is missing.
    config = preset_config(preset, decoder="self", decoder_depth=1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = MaskedAutoencoder(config)
    pretraining = {"method": "none", "seed": seed}
    return describe(part_of(model.state_dict(), "encoder."), source, config.num_heads, pretraining)


def _folder(folder: Path) -> tuple[Weights, BackboneSpec]:
    form = read_config(folder).get("format")
    if form == BACKBONE:
        return read_backbone(folder)
    if form == AUTOENCODER:
        checkpoint = read_checkpoint(folder)
        pretraining = {**_method(checkpoint.config), **checkpoint.pretraining}
        return describe(part_of(checkpoint.weights, "encoder."), str(folder), checkpoint.config.num_heads, pretraining)
    raise UserError(f"{folder} is no checkpoint of ours", f"a Hugging Face folder is given as hf:{folder}")


def _file(path: Path, num_heads: int | None) -> tuple[Weights, BackboneSpec]:
    file = read_weights(path)
    if SPEC in file.arguments:
        spec = parse_json(BackboneSpec, file.arguments[SPEC], f"{SPEC} in {path}")
        return {name: tensor for name, tensor in file.weights.items() if name not in spec.missing}, spec
    whole = autoencoder_in(file)
    pretraining = {"method": "CrossMAE" if "decoder.mixing.weight" in whole.weights else "MAE", **whole.options}
    heads = whole.options.get("num_heads", num_heads)
    return describe(part_of(whole.weights, "encoder."), str(path), heads, pretraining)


def _method(config: MAEConfig) -> dict[str, object]:
    """How an autoencoder of this configuration is pretrained, for the records."""
    return {
        "method": "MAE" if config.decoder == "self" else "CrossMAE",
        "mask_ratio": config.mask_ratio,
        "prediction_ratio": config.prediction_ratio,
    }


def _local(source: str) -> Path:
    if not source.startswith("hf:"):
        return Path(source)
    from crossmae.weights.huggingface import local_folder

    return local_folder(source.removeprefix("hf:"))


def _autoencoder(path: Path) -> AutoencoderWeights:
    if path.is_dir():
        from crossmae.weights.huggingface import read_vitmae

        return read_vitmae(path)
    return autoencoder_in(read_weights(path))


def _refuse_contradictions(model: MaskedAutoencoder, given: dict[str, Any]) -> None:
    config = model.config.to_dict()
    for name, value in given.items():
        if name not in config:
            raise UserError(f"unknown model option {name}", f"the options are {', '.join(sorted(config))}")
        if config[name] != (list(value) if isinstance(value, tuple) else value):
            raise UserError(f"{name}={value!r} contradicts the checkpoint's {CONFIG}, which says {config[name]!r}")
