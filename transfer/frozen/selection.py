"""What is chosen without the validation images: few training images, a part held out, the best of a grid on it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crossmae.data.images import digest_of_bytes
from crossmae.errors import UserError
from crossmae.files import write_json
from transfer.datasets.labelled import LabelledImages
from transfer.datasets.split import digest_of_names, held_out
from transfer.frozen.recipe import FrozenProtocol
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
    train_sha256: str
    """Likewise of all of them."""


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
        digest_of_names(images),
    )


def few(images: LabelledImages, protocol: FrozenProtocol, seed: int) -> LabelledImages:
    """The training images that a low-shot protocol leaves: those of a list, so many of each class, or all.

    Raises:
        UserError: there is no such list, it is another one than published, or it names an image that is not there.
    """
    if protocol.train_list is not None:
        images = images.subset(_listed(images, images.root / protocol.train_list, protocol.train_list_sha256))
    if (count := protocol.per_class) is not None:
        images = images.subset(held_out(images, lambda size: min(count, size), salt=f"{seed} "))
    return images


def _listed(images: LabelledImages, path: Path, sha256: str) -> NDArray[np.int64]:
    if not path.is_file():
        raise UserError(f"{path} does not exist", "SimCLR's repository has it, in imagenet_subsets")
    digest = digest_of_bytes(path)
    if not digest.startswith(sha256):
        raise UserError(f"{path} has the SHA-256 {digest[:12]}..., published is {sha256}...", "download it again")
    places = {file.rpartition("/")[2]: place for place, file in enumerate(images.files)}
    names = path.read_text().split()
    if missing := [name for name in names if name not in places]:
        what = f"{path} names {len(missing):,} images that are not there ({missing[0]}, ...)"
        raise UserError(what, "complete the training images")
    return np.array(sorted(places[name] for name in names), np.int64)


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
        "train": len(split.fitted) + len(split.held_out),
        "train_sha256": split.train_sha256,
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
