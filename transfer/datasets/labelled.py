"""One split of a classification data set: file names, labels, classes."""

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from crossmae.data.images import Images
from crossmae.data.open import entries, open_listed
from crossmae.errors import UserError


def require_possible(path: Path, files: Iterable[str]) -> None:
    """Refuses a list ``path`` with names that no file can have."""
    for name in files:
        try:
            possible = "\0" not in name and all(len(part) < 256 for part in os.fsencode(name).split(b"/"))
        except UnicodeEncodeError:
            possible = False
        if not possible:
            raise UserError(f"{path} names {name[:60]!r}, which no file is called", "download it again")


@dataclass(frozen=True)
class LabelledImages:
    """Image ``files`` relative to ``root`` (with /), their ``labels``, and the names of the ``classes``.

    Labels are (N,), or (N, classes) of 0 and 1 where an image has several, or none.
    """

    root: Path
    files: tuple[str, ...]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.files)

    @property
    def several(self) -> bool:
        """Whether an image has several labels."""
        return self.labels.ndim == 2

    def counts(self) -> NDArray[np.int64]:
        """Images of each class."""
        return self.labels.sum(axis=0) if self.several else np.bincount(self.labels, minlength=len(self.classes))

    @cached_property
    def images(self) -> Images:
        """What the files hold; ``root`` may be a cache that was staged from the data set."""
        return open_listed(self.root, self.files)

    @cached_property
    def fingerprint(self) -> str:
        """Ten hex digits of file names and labels: other files or pixels are another data set."""
        digest = hashlib.sha256(self.labels.astype("<i8").tobytes())
        for file in self.files:
            digest.update(file.encode("utf-8", "surrogateescape") + b"\0")
        if self.images.deviations:
            digest.update(self.images.fingerprint.encode())
        return digest.hexdigest()[:10]

    def subset(self, places: NDArray[np.int64]) -> Self:
        """The images at ``places``, of the same classes."""
        files = tuple(self.files[place] for place in places)
        return replace(self, files=files, labels=self.labels[places])

    def empty_classes(self) -> list[str]:
        """Classes that have no image."""
        return [name for name, count in zip(self.classes, self.counts(), strict=True) if count == 0]

    def spread(self, most: int) -> list[int]:
        """Places of at most ``most`` images, evenly over all."""
        return [int(place) for place in np.unique(np.linspace(0, len(self) - 1, min(most, len(self))).astype(int))]

    def missing(self) -> list[str]:
        """Files that are not on disk; one listing per folder, so that millions are checked in seconds."""
        folders: dict[str, list[str]] = defaultdict(list)
        for file in self.files:
            folder, _, name = file.rpartition("/")
            folders[folder].append(name)
        return [
            f"{folder}/{name}".removeprefix("/")
            for folder, listed in sorted(folders.items())
            for name in sorted(set(listed).difference(*entries(self.root / folder)))
        ]
