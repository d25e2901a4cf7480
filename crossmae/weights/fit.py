"""Weights into a model: what does not fit is listed, never dropped."""

from collections.abc import Collection, Mapping

import torch
from torch import Tensor, nn

from crossmae.errors import UserError, printable

_NUMBERS = (torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.float8_e4m3fn, torch.float8_e5m2)


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
    require_fit(model, weights, source, expected_missing)
    model.load_state_dict(weights, strict=False)


def require_fit(
    model: nn.Module, weights: Mapping[str, Tensor], source: str, expected_missing: Collection[str] = ()
) -> None:
    """Refuses weights that do not fit ``model``; arguments and error as those of ``load_strictly``."""
    if complaint := misfit(model.state_dict(), weights, expected_missing):
        raise UserError(f"{source} does not fit {type(model).__name__}: {complaint}")


def misfit(places: Mapping[str, Tensor], weights: Mapping[str, Tensor], expected_missing: Collection[str] = ()) -> str:
    """What does not fit, in one line; empty if all does. Values that are not finite fit nowhere."""
    missing = sorted(set(places) - set(weights) - set(expected_missing))
    unexpected = sorted(set(weights) - set(places))
    shapes = [
        f"{name} {tuple(weights[name].shape)} for {tuple(places[name].shape)}"
        for name in sorted(set(places) & set(weights))
        if weights[name].shape != places[name].shape
    ]
    common = [name for name in places if name in weights and places[name].is_floating_point()]
    kinds = [f"{name} of {weights[name].dtype}" for name in common if weights[name].dtype not in _NUMBERS]
    wild = [name for name in common if weights[name].dtype in _NUMBERS and not _is_finite(weights[name])]
    parts = {
        "weights missing": missing,
        "weights without a place": unexpected,
        "shapes": shapes,
        "no floating-point numbers": kinds,
        "infinite or not a number": wild,
    }
    return "; ".join(f"{what}: {_listed(names)}" for what, names in parts.items() if names)


def _is_finite(tensor: Tensor) -> bool:
    # Numbers of 8 bits have no such question of their own.
    return bool(torch.isfinite(tensor.float() if tensor.element_size() == 1 else tensor).all())


def _listed(names: list[str], most: int = 12) -> str:
    shown = ", ".join(printable(name[:200]) for name in names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown
