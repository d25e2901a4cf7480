"""Weights on their way from one set of names to another."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from crossmae.weights.files import Weights


@dataclass(frozen=True)
class Found:
    """Weights of an autoencoder under our names, and the options (named as in MAEConfig) that came with them."""

    weights: Weights
    options: dict[str, Any] = field(default_factory=dict)


def part_of(weights: Mapping[str, Tensor], prefix: str) -> Weights:
    """The weights whose names begin with ``prefix``, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in weights.items() if name.startswith(prefix)}


def prefixed(weights: Mapping[str, Tensor], prefix: str) -> Weights:
    """The same weights with ``prefix`` before every name."""
    return {prefix + name: tensor for name, tensor in weights.items()}
