"""Weights into a model: what does not fit is listed, never dropped."""

from collections.abc import Collection, Mapping

import torch
from torch import Tensor, nn

from crossmae.errors import UserError
from crossmae.model.autoencoder import MaskedAutoencoder
from crossmae.model.config import MAEConfig


def build_autoencoder(config: MAEConfig, weights: Mapping[str, Tensor], source: str) -> MaskedAutoencoder:
    """An autoencoder of ``weights``, which it takes over instead of copying, in float32.

    Raises:
        UserError: as ``load_strictly``.
    """
    # Without storage no initial weights are drawn, which for ViT-H takes longer than reading the file.
    with torch.device("meta"):
        model = MaskedAutoencoder(config)
    _check_fit(model, weights, source, ())
    model.load_state_dict({name: tensor.float() for name, tensor in weights.items()}, assign=True)
    return model


def load_strictly(
    model: nn.Module, weights: Mapping[str, Tensor], source: str, expected_missing: Collection[str] = ()
) -> None:
    """Copies ``weights`` into ``model``.

    Args:
        source: what the weights are called in the error.
        expected_missing: names of the model's weights that ``weights`` may lack.

    Raises:
        UserError: one line that lists weights without a place, places without a weight, and other shapes.
    """
    _check_fit(model, weights, source, expected_missing)
    model.load_state_dict(weights, strict=False)


def misfit(places: Mapping[str, Tensor], weights: Mapping[str, Tensor], expected_missing: Collection[str] = ()) -> str:
    """What does not fit, in one line; empty if all does."""
    missing = sorted(set(places) - set(weights) - set(expected_missing))
    unexpected = sorted(set(weights) - set(places))
    shapes = [
        f"{name} {tuple(weights[name].shape)} for {tuple(places[name].shape)}"
        for name in sorted(set(places) & set(weights))
        if weights[name].shape != places[name].shape
    ]
    parts = {"weights missing": missing, "weights without a place": unexpected, "shapes": shapes}
    return "; ".join(f"{what}: {_listed(names)}" for what, names in parts.items() if names)


def _check_fit(model: nn.Module, weights: Mapping[str, Tensor], source: str, missing: Collection[str]) -> None:
    if complaint := misfit(model.state_dict(), weights, missing):
        raise UserError(f"{source} does not fit {type(model).__name__}: {complaint}")


def _listed(names: list[str], most: int = 12) -> str:
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown
