"""Our own folders, ``model.safetensors`` and ``config.json``: of a whole autoencoder, or of a backbone alone."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from crossmae.errors import UserError
from crossmae.files import write_json
from crossmae.model.autoencoder import MaskedAutoencoder
from crossmae.model.config import MAEConfig
from crossmae.parsing import Strict, parse, parse_file
from crossmae.weights.autoencoder import build_autoencoder
from crossmae.weights.files import Weights, read_weights, write_weights
from crossmae.weights.spec import BackboneSpec, require_described

WEIGHTS = "model.safetensors"
CONFIG = "config.json"
AUTOENCODER = "crossmae.autoencoder"
BACKBONE = "crossmae.backbone"


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint as it lies in its folder."""

    weights: Weights
    config: MAEConfig
    pretraining: dict[str, Any]
    """How the weights were made, as given to ``save_checkpoint``."""


@dataclass(frozen=True)
class _AutoencoderConfig(Strict):
    """The ``config.json`` of an autoencoder."""

    format: str
    model: dict[str, Any]
    pretraining: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _BackboneConfig(Strict):
    """The ``config.json`` of a backbone."""

    format: str
    backbone: BackboneSpec


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
    if not path.is_file():
        raise UserError(f"{folder} has no {CONFIG}: it is no checkpoint")
    content: dict[str, Any] = parse_file(dict, path)
    return content


def read_checkpoint(folder: Path) -> Checkpoint:
    """Reads what ``save_checkpoint`` wrote.

    Raises:
        UserError: ``folder`` is no checkpoint of an autoencoder, or is damaged.
    """
    content = read_config(folder)
    if content.get("format") != AUTOENCODER:
        raise UserError(f"{folder} holds no checkpoint of an autoencoder (format {content.get('format')!r})")
    config = parse(_AutoencoderConfig, content, str(folder / CONFIG))
    return Checkpoint(read_weights(folder / WEIGHTS).weights, MAEConfig.from_dict(config.model), config.pretraining)


def load_checkpoint(folder: Path) -> MaskedAutoencoder:
    """The autoencoder that ``save_checkpoint`` wrote.

    Raises:
        UserError: as ``read_checkpoint``, or weights that do not fit the configuration next to them.
    """
    checkpoint = read_checkpoint(folder)
    return build_autoencoder(checkpoint.config, checkpoint.weights, str(folder))


def save_backbone(weights: Mapping[str, Tensor], spec: BackboneSpec, folder: Path) -> None:
    """Writes a backbone's weights (timm names) and then its specification; each file is complete or not there."""
    write_weights(weights, folder / WEIGHTS)
    write_json({"format": BACKBONE, "backbone": asdict(spec)}, folder / CONFIG)


def read_backbone(folder: Path) -> tuple[Weights, BackboneSpec]:
    """Reads what ``save_backbone`` wrote.

    Raises:
        UserError: it is damaged, or its specification is not one of this version.
    """
    config = parse(_BackboneConfig, read_config(folder), str(folder / CONFIG))
    weights = read_weights(folder / WEIGHTS).weights
    require_described(weights, config.backbone, str(folder))
    return weights, config.backbone
