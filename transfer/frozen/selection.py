"""What is chosen without the validation images: a part of the training images, and the best of a grid on it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from crossmae.errors import UserError
from crossmae.files import write_json
from transfer.datasets.labelled import LabelledImages
from transfer.datasets.split import digest_of_names, held_out
from transfer.task import Context

_EPS = 1e-6
"""Added to a variance before its root, as in the batch norm of MAE's linear probe."""


@dataclass(frozen=True)
class Split:
    """Places of training images: ``fitted`` and ``held_out``, both rising."""

    fitted: Tensor
    held_out: Tensor
    rule: str
    sha256: str
    """Of the held-out images' paths, sorted, one a line."""


def hold_out(images: LabelledImages, per_class: int) -> Split:
    """Holds out ``per_class`` images of each class, or half of a smaller class.

    They are those whose paths have the smallest SHA-256: the same on every machine, whatever the order, and for most
    images also if others come or go.

    Raises:
        UserError: no class has two images.
    """
    held = held_out(images, lambda count: min(per_class, count // 2))
    left = np.setdiff1d(np.arange(len(images)), held)
    return Split(
        torch.from_numpy(left),
        torch.from_numpy(held),
        f"of each class the {per_class} training images (at most half) whose paths have the smallest SHA-256",
        digest_of_names(images.subset(held)),
    )


def choose(scores: Sequence[float]) -> int:
    """Index of the best score, the first of equals; a score that is no number is never the best.

    Raises:
        UserError: none is a number.
    """
    numbers = [-math.inf if math.isnan(score) else score for score in scores]
    if max(numbers) == -math.inf:
        raise UserError("every candidate of the grid diverged", "lower its learning rates")
    return numbers.index(max(numbers))


def accuracy(scores: Tensor, labels: Tensor) -> float:
    """Percent of the right predictions of ``scores`` (N, C); not a number if a score is none."""
    if not bool(scores.isfinite().all()):
        return math.nan
    return 100.0 * float((scores.argmax(dim=1) == labels).double().mean())


def note_choice(context: Context, split: Split, grid: Sequence[Mapping[str, Any]], chosen: int) -> None:
    """Leaves ``selection-HASH.json`` in the run's folder; the record names the file, and so the hash of the list."""
    path = context.folder / f"selection-{split.sha256[:10]}.json"
    content = {
        "rule": split.rule,
        "held_out": len(split.held_out),
        "sha256": split.sha256,
        "grid": [{name: _plain(value) for name, value in candidate.items()} for candidate in grid],
        "chosen": {name: _plain(value) for name, value in grid[chosen].items()},
    }
    write_json(content, path)
    context.artifact("selection", path)


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value


@dataclass(frozen=True)
class Standardiser:
    """Takes ``mean`` (C,) off features and divides by ``scale`` (C,)."""

    mean: Tensor
    scale: Tensor

    @classmethod
    def of(cls, features: Tensor, wanted: bool = True) -> "Standardiser":
        """That of ``features`` (N, C), or the one that changes nothing."""
        if not wanted:
            return cls(torch.zeros_like(features[0]), torch.ones_like(features[0]))
        variance, mean = torch.var_mean(features.double(), dim=0, correction=0)
        return cls(mean.to(features), (variance + _EPS).sqrt().to(features))

    def __call__(self, features: Tensor) -> Tensor:
        """The features on the new scale."""
        return (features - self.mean) / self.scale
