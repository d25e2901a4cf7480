"""One door for whole autoencoders: from our checkpoints, released files and Hugging Face folders."""

import json
from pathlib import Path
from typing import Any

from crossmae.errors import UserError
from crossmae.model.autoencoder import MaskedAutoencoder
from crossmae.weights.arguments import from_arguments
from crossmae.weights.checkpoint import CONFIG, load_checkpoint, read_config
from crossmae.weights.files import WeightFile, read_weights
from crossmae.weights.fit import build_autoencoder
from crossmae.weights.found import Found, part_of
from crossmae.weights.infer import infer_config
from crossmae.weights.released import from_official

OPTIONS = "crossmae_config"
"""Under this key an exported file with released names carries its MAEConfig."""


def load_pretrained(
    source: str | Path, num_heads: int | None = None, decoder_num_heads: int | None = None, **overrides: Any
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
    given = {"num_heads": num_heads, "decoder_num_heads": decoder_num_heads, **overrides}
    told = {name: value for name, value in given.items() if value is not None}
    path = _path(str(source))
    if path.is_dir() and read_config(path).get("format"):
        model = load_checkpoint(path)
        _refuse_contradictions(model, told)
        return model.eval()
    found = _read(path)
    config = infer_config(found.weights, {**found.options, **told})
    return build_autoencoder(config, found.weights, str(source)).eval()


def autoencoder_in(file: WeightFile) -> Found:
    """The autoencoder whose weights have the released names in ``file``."""
    # Files of reference numerics keep the weights under weights/, beside inputs and gradients.
    weights = part_of(file.weights, "weights/") or file.weights
    return Found(from_official(weights), _options(file))


def _path(source: str) -> Path:
    if not source.startswith("hf:"):
        return Path(source)
    from crossmae.weights.huggingface import find

    return find(source.removeprefix("hf:"))


def _read(path: Path) -> Found:
    if path.is_dir():
        from crossmae.weights.huggingface import read_vitmae

        return read_vitmae(path)
    return autoencoder_in(read_weights(path))


def _options(file: WeightFile) -> dict[str, Any]:
    ours = file.arguments.get(OPTIONS)
    if ours is None:
        return from_arguments(file.arguments)
    return dict(json.loads(ours) if isinstance(ours, str) else ours)


def _refuse_contradictions(model: MaskedAutoencoder, told: dict[str, Any]) -> None:
    config = model.config.to_dict()
    for name, value in told.items():
        if name not in config:
            raise UserError(f"unknown model option {name}; the options are {', '.join(sorted(config))}")
        if config[name] != (list(value) if isinstance(value, tuple) else value):
            raise UserError(f"{name}={value!r} contradicts the checkpoint's {CONFIG}, which says {config[name]!r}")
