"""Our own checkpoint of a whole autoencoder: a folder with ``model.safetensors`` and ``config.json``."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crossmae.errors import UserError
from crossmae.files import write_json
from crossmae.model.autoencoder import MaskedAutoencoder
from crossmae.model.config import MAEConfig
from crossmae.weights.files import Weights, read_weights, write_weights
from crossmae.weights.fit import build_autoencoder

WEIGHTS = "model.safetensors"
CONFIG = "config.json"
AUTOENCODER = "crossmae.autoencoder"


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint as it lies in its folder."""

    weights: Weights
    config: MAEConfig
    pretraining: dict[str, Any]
    """How the weights were made, as given to ``save_checkpoint``."""


def save_checkpoint(model: MaskedAutoencoder, folder: Path, pretraining: Mapping[str, Any] | None = None) -> None:
    """Writes the weights and then the configuration of ``model``; each file is complete or not there.

    Args:
        pretraining: plain JSON values that say how the weights were made (recipe, seed, epochs, ...); they reach
            every record of a task by way of ``Backbone.spec.pretraining``.
    """
    content = {"format": AUTOENCODER, "model": model.config.to_dict(), "pretraining": dict(pretraining or {})}
    write_weights(model.state_dict(), folder / WEIGHTS)
    write_json(content, folder / CONFIG)


def read_config(folder: Path) -> dict[str, Any]:
    """The ``config.json`` of ``folder``.

    Raises:
        UserError: missing or unreadable.
    """
    path = folder / CONFIG
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        raise UserError(f"{folder} has no {CONFIG}: it is no checkpoint") from None
    except json.JSONDecodeError as error:
        raise UserError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} does not hold a configuration")
    return content


def read_checkpoint(folder: Path) -> Checkpoint:
    """Reads what ``save_checkpoint`` wrote.

    Raises:
        UserError: ``folder`` is no checkpoint of an autoencoder, or is damaged.
    """
    content = read_config(folder)
    if content.get("format") != AUTOENCODER:
        raise UserError(f"{folder} holds no checkpoint of an autoencoder (format {content.get('format')!r})")
    config = MAEConfig.from_dict(content["model"])
    return Checkpoint(read_weights(folder / WEIGHTS).weights, config, content.get("pretraining", {}))


def load_checkpoint(folder: Path) -> MaskedAutoencoder:
    """The autoencoder that ``save_checkpoint`` wrote.

    Raises:
        UserError: as ``read_checkpoint``, or weights that do not fit the configuration beside them.
    """
    checkpoint = read_checkpoint(folder)
    return build_autoencoder(checkpoint.config, checkpoint.weights, str(folder))
