"""Weights into a model: what does not fit is listed, never dropped."""

from collections.abc import Collection, Mapping

from torch import Tensor, nn

from crossmae.errors import UserError


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
    if complaint := misfit(model.state_dict(), weights, expected_missing):
        raise UserError(f"{source} does not fit {type(model).__name__}: {complaint}")
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


def _listed(names: list[str], most: int = 12) -> str:
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown
