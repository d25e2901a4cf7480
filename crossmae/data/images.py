"""Where images lie: a folder with or without class folders, a list of files, or tar shards."""

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from crossmae.errors import UserError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})


class Images(Protocol):
    """Images in a fixed order."""

    def __len__(self) -> int: ...

    def name(self, index: int) -> str:
        """What logs call image ``index``: its path."""

    def read(self, index: int) -> Path | bytes:
        """What ``read_rgb`` takes for image ``index``."""

    @property
    def fingerprint(self) -> str:
        """Sixteen hex digits of the names and their order."""


class Names:
    """Strings in two arrays, so that forked worker processes share their memory however many there are."""

    def __init__(self, names: Iterable[str]) -> None:
        encoded = [name.encode("utf-8", "surrogateescape") for name in names]
        self._text = np.frombuffer(b"".join(encoded), dtype=np.uint8)
        self._ends: NDArray[np.int64] = np.cumsum([0, *map(len, encoded)])

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, index: int) -> str:
        return self._text[self._ends[index] : self._ends[index + 1]].tobytes().decode("utf-8", "surrogateescape")

    @property
    def fingerprint(self) -> str:
        """Sixteen hex digits of the strings and their order."""
        return hashlib.sha256(self._text.tobytes() + self._ends.tobytes()).hexdigest()[:16]


class ImageFiles:
    """Image files, named relative to ``root``."""

    def __init__(self, root: Path, names: Iterable[str]) -> None:
        self.root = root
        self._names = Names(names)

    def __len__(self) -> int:
        return len(self._names)

    def name(self, index: int) -> str:
        """Path of image ``index``."""
        return str(self.read(index))

    def read(self, index: int) -> Path:
        """Path of image ``index``."""
        return self.root / self._names[index]

    @property
    def fingerprint(self) -> str:
        """Sixteen hex digits of the paths relative to the root and their order."""
        return self._names.fingerprint


def open_images(path: Path) -> Images:
    """The images at ``path``: a folder, a folder of tar shards, or a text file with one path per line.

    Of a folder that has a ``train`` folder, that is taken. It is searched at any depth, in the order of the paths;
    class folders make no difference. Paths in a list are absolute or relative to the list's folder. The shards of a
    folder are its ``*.tar`` files, in the order of their names.

    Raises:
        UserError: nothing there, or no image.
    """
    images = _open(path)
    if not len(images):
        raise UserError(f"{path} holds no image; image files end in {' '.join(sorted(SUFFIXES))}")
    return images


def is_image(name: str) -> bool:
    """Whether a file of this name is taken for an image; hidden files are not."""
    stem, suffix = os.path.splitext(os.path.basename(name))  # noqa: PTH119, PTH122 - millions of plain strings
    return suffix.lower() in SUFFIXES and not stem.startswith(".")


def _open(path: Path) -> Images:
    if path.is_file():
        lines = path.read_text().splitlines()
        return ImageFiles(path.parent, (line.strip() for line in lines if line.strip()))
    if not path.is_dir():
        raise UserError(f"no images at {path}; give an image folder, a list of files or a folder of tar shards")
    root = path / "train" if (path / "train").is_dir() else path
    if shards := sorted(root.glob("*.tar")):
        from crossmae.data.shards import ShardedImages

        return ShardedImages(shards)
    return ImageFiles(root, sorted(_walk(root)))


def _walk(root: Path) -> Iterator[str]:
    for folder, _, files in os.walk(root, followlinks=True):
        inner = os.path.relpath(folder, root)
        yield from (file if inner == "." else f"{inner}/{file}" for file in files if is_image(file))
