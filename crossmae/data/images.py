"""Where images lie: a folder with or without class folders, or a list of files."""

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from crossmae.errors import UserError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})


class ImageFiles:
    """Paths of image files, relative to ``root``, held in two arrays so that worker processes share their memory."""

    def __init__(self, root: Path, names: Iterable[str]) -> None:
        encoded = [name.encode("utf-8", "surrogateescape") for name in names]
        self.root = root
        self._text = np.frombuffer(b"".join(encoded), dtype=np.uint8)
        self._ends = np.cumsum([0, *map(len, encoded)])

    def __len__(self) -> int:
        return len(self._ends) - 1

    def name(self, index: int) -> str:
        """Path of image ``index``, relative to the root."""
        return self._text[self._ends[index] : self._ends[index + 1]].tobytes().decode("utf-8", "surrogateescape")

    def read(self, index: int) -> Path:
        """What ``read_rgb`` takes for image ``index``."""
        return self.root / self.name(index)

    @property
    def fingerprint(self) -> str:
        """Sixteen hex digits of the names and their order."""
        return hashlib.sha256(self._text.tobytes() + self._ends.tobytes()).hexdigest()[:16]


def open_images(path: Path) -> ImageFiles:
    """The images at ``path``: a folder (its ``train`` folder, if it has one), or a text file with one path per line.

    A folder is searched at any depth, in the order of the paths; class folders make no difference. Paths in a list are
    absolute or relative to the list's folder.

    Raises:
        UserError: nothing there, or no image.
    """
    if path.is_dir():
        root = path / "train" if (path / "train").is_dir() else path
        images = ImageFiles(root, sorted(_walk(root)))
    elif path.is_file():
        lines = path.read_text().splitlines()
        images = ImageFiles(path.parent, (line.strip() for line in lines if line.strip()))
    else:
        raise UserError(f"no images at {path}: give an image folder or a list of files with --data")
    if not len(images):
        raise UserError(f"{path} holds no image; image files end in {' '.join(sorted(SUFFIXES))}")
    return images


def _walk(root: Path) -> Iterator[str]:
    for folder, _, files in os.walk(root, followlinks=True):
        inner = os.path.relpath(folder, root)
        for file in files:
            if os.path.splitext(file)[1].lower() in SUFFIXES and not file.startswith("."):  # noqa: PTH122
                yield file if inner == "." else f"{inner}/{file}"
