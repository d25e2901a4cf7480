"""Named weights: read without executing anything, written atomically, loaded into models without dropping any."""

import argparse
import hashlib
import pickle
import warnings
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from crossmae.errors import UserError
from crossmae.files import write_atomically

Weights = dict[str, Tensor]

OPTIONS = "crossmae_config"
"""Under this key an exported file with released names carries its MAEConfig."""

Content = dict[str, Any]
"""What a file holds: weights, dictionaries of weights, and plain values."""

_NESTED = ("model", "state_dict")
"""Keys under which files of whole models keep the weights, if not at the top."""

_SCALARS = [np.bool_, np.int32, np.int64, np.float16, np.float32, np.float64]


@dataclass(frozen=True)
class WeightFile:
    """Weights as they are in the file, and what the file says about them."""

    weights: Weights
    arguments: dict[str, Any] = field(default_factory=dict)
    """Options of the run that wrote the file: the ``args`` of a ``.pth``, the metadata of a ``.safetensors``."""


def read_content(path: Path) -> Content:
    """Everything in a ``.safetensors`` or a PyTorch file (``.pth``, ``.pt``, ``.bin``), run by none of its code.

    Raises:
        UserError: no such file, damaged, or a pickle that holds more than weights, plain values, an
            ``argparse.Namespace`` and numpy's numbers.
    """
    if not path.is_file():
        raise UserError(f"no weight file {path}")
    return _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)


def read_weights(path: Path) -> WeightFile:
    """The weights of the whole model in a file, without DDP's ``module.``, and its options.

    Raises:
        UserError: as ``read_content``.
    """
    content = read_content(path)
    if averaged := [key for key in content if "ema" in str(key) and isinstance(content[key], dict)]:
        raise UserError(
            f"{path} holds two sets of weights, {averaged[0]} is the other", "write a file with one of them"
        )
    weights = next((content[key] for key in _NESTED if isinstance(content.get(key), dict)), content)
    named = {str(name).removeprefix("module."): value for name, value in weights.items() if isinstance(value, Tensor)}
    return WeightFile(named, arguments_in(content))


def arguments_in(content: Content) -> dict[str, Any]:
    """The options next to the weights: plain values, and the contents of ``args``."""
    options = content.get("args")
    plain = {name: value for name, value in content.items() if not isinstance(value, Tensor | dict) and name != "args"}
    plain |= {OPTIONS: content[OPTIONS]} if OPTIONS in content else {}
    return plain | (dict(vars(options)) if isinstance(options, argparse.Namespace) else {})


def write_weights(weights: Mapping[str, Tensor], path: Path, metadata: Mapping[str, str] | None = None) -> None:
    """Writes a ``.safetensors``, complete or not at all."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    write_atomically(path, lambda part: save_file(plain, part, metadata=dict(metadata or {})))


def digest_weights(weights: Mapping[str, Tensor]) -> str:
    """Sixteen hex digits over names, shapes, types and values; the same wherever the weights lie."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        tensor = weights[name].detach().cpu().contiguous()
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]


def part_of(weights: Mapping[str, Tensor], prefix: str) -> Weights:
    """The weights whose names begin with ``prefix``, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in weights.items() if name.startswith(prefix)}


def prefixed(weights: Mapping[str, Tensor], prefix: str) -> Weights:
    """The same weights with ``prefix`` before every name."""
    return {prefix + name: tensor for name, tensor in weights.items()}


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


def _read_safetensors(path: Path) -> Content:
    try:
        with safe_open(path, framework="pt") as file:
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} is not a complete .safetensors file: {error}") from error
    return {**metadata, **weights}


def _read_torch(path: Path) -> Content:
    try:
        with torch.serialization.safe_globals(_harmless()), warnings.catch_warnings(action="ignore"):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # what is no pickle fails in every way there is
        if isinstance(error, pickle.UnpicklingError) and "unsupported" in str(error).lower():
            raise UserError(f"{path} refused: it holds code or objects next to weights; none of it was run") from error
        raise UserError(f"{path} is damaged or no PyTorch weight file") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} holds a {type(content).__name__}, not named weights")
    return content


def _harmless() -> list[Any]:
    """Classes of plain values: the Namespace of a run's options, and numpy's numbers, which meters leave behind."""
    scalar = np.float64(0).__reduce__()[0]
    names = ["numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar"]
    return [argparse.Namespace, *((scalar, name) for name in names), np.dtype, *(type(np.dtype(t)) for t in _SCALARS)]


def _listed(names: list[str], most: int = 12) -> str:
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown
