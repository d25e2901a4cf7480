"""Names of images: which they are, and millions of them in little memory."""

import hashlib
import os
from collections.abc import Iterable, Sequence
from typing import overload

import numpy as np
from numpy.typing import NDArray

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})


class Names(Sequence[str]):
    """Strings in two arrays, so that forked worker processes share their memory however many there are."""

    def __init__(self, names: Iterable[str]) -> None:
        encoded = [name.encode("utf-8", "surrogateescape") for name in names]
        self._text = np.frombuffer(b"".join(encoded), dtype=np.uint8)
        self._ends: NDArray[np.int64] = np.cumsum([0, *map(len, encoded)])

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        text = self._text[self._ends[index] : self._ends[index + 1]]
        return text.tobytes().decode("utf-8", "surrogateescape")

    @property
    def fingerprint(self) -> str:
        """Sixteen hex digits of the strings and their order."""
        return hashlib.sha256(self._text.tobytes() + self._ends.tobytes()).hexdigest()[:16]


def is_image(name: str) -> bool:
    """Whether a file of this name is taken for an image; hidden files are not."""
    stem, suffix = os.path.splitext(os.path.basename(name))  # noqa: PTH119, PTH122 - millions of plain strings
    return suffix.lower() in SUFFIXES and not stem.startswith(".")
