"""One door for whole autoencoders: from our checkpoints, released files and Hugging Face folders."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from crossmae.convert.arguments import from_arguments
from crossmae.convert.checkpoint import CONFIG, load_checkpoint, read_config
from crossmae.convert.files import Weights, read_weights
from crossmae.convert.fit import load_strictly
from crossmae.convert.infer import infer_config
from crossmae.convert.official import from_official
from crossmae.errors import UserError
from crossmae.model.autoencoder import MaskedAutoencoder

METADATA = "crossmae_config"
"""Metadata key under which an exported ``.safetensors`` with released names carries its MAEConfig as JSON."""


@dataclass(frozen=True)
class Found:
    """Weights of an autoencoder under our names, and the options that came with them."""

    weights: Weights
    options: dict[str, Any] = field(default_factory=dict)
    pretraining: dict[str, Any] = field(default_factory=dict)


def load_pretrained(
    source: str | Path, num_heads: int | None = None, decoder_num_heads: int | None = None, **overrides: Any
) -> MaskedAutoencoder:
    """The whole autoencoder of ``source``, in evaluation mode.

    Args:
        source: folder of ours (``RUN/checkpoint``), a released CrossMAE or MAE ``.pth``, a ``.safetensors`` with the
            released names (also under ``weights/``), or a Hugging Face ViTMAE folder.
        overrides: options named as in MAEConfig that the weights cannot tell and the file does not say. None means
            not given.

    Raises:
        UserError: no such source, an option that must be given, or weights that do not fit: each in one line.
    """
    path = Path(source)
    given = {"num_heads": num_heads, "decoder_num_heads": decoder_num_heads, **overrides}
    if path.is_dir() and read_config(path).get("format"):
        model = load_checkpoint(path)
        _refuse_contradictions(model, given)
        return model.eval()
    found = read_autoencoder(path)
    config = infer_config(found.weights, {**found.options, **_told(given)})
    model = MaskedAutoencoder(config)
    load_strictly(model, found.weights, str(source))
    return model.eval()


def read_autoencoder(path: Path) -> Found:
    """Reads a released file or a Hugging Face ViTMAE folder.

    Raises:
        UserError: neither, or unreadable.
    """
    if path.is_dir():
        from crossmae.convert.huggingface import read_vitmae

        return read_vitmae(path)
    file = read_weights(path)
    weights = from_official(_unprefixed(file.weights))
    if METADATA in file.arguments:
        return Found(weights, json.loads(file.arguments[METADATA]))
    return Found(weights, from_arguments(file.arguments))


def _unprefixed(weights: Weights) -> Weights:
    """Files of reference numerics keep the weights under ``weights/``, beside inputs and gradients."""
    if not any(name.startswith("weights/") for name in weights):
        return {name.removeprefix("module."): tensor for name, tensor in weights.items()}
    return {name.removeprefix("weights/"): t for name, t in weights.items() if name.startswith("weights/")}


def _told(given: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if value is not None}


def _refuse_contradictions(model: MaskedAutoencoder, given: dict[str, Any]) -> None:
    config = model.config.to_dict()
    for name, value in _told(given).items():
        if name not in config:
            raise UserError(f"unknown model option {name}; the options are {', '.join(sorted(config))}")
        value = list(value) if isinstance(value, tuple) else value
        if config[name] != value:
            raise UserError(f"{name}={value!r} contradicts the checkpoint's {CONFIG}, which says {config[name]!r}")
