"""Images as they were published: a folder with or without class folders, a list of files, or tar shards."""

import os
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from crossmae.data.names import Names
from crossmae.errors import UserError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})

_HEADER = 512
"""Bytes of a tar member before its content."""
_MOST_OPEN = 256
"""Shards that a process holds open."""

Source = Path | bytes | NDArray[np.uint8]
"""An image: a file, a file's content, or upright pixels (height, width, 3)."""


class Images(Protocol):
    """Images in a fixed order."""

    def __len__(self) -> int: ...

    def name(self, index: int) -> str:
        """What logs call image ``index``: its path."""

    def relative(self, index: int) -> str:
        """Its path below the folder that was opened."""

    def read(self, index: int) -> Source:
        """What ``read_rgb`` takes for image ``index``."""

    @property
    def fingerprint(self) -> str:
        """Sixteen hex digits of the names and their order, and of what staging did to the images."""

    @property
    def deviations(self) -> tuple[str, ...]:
        """How the images differ from the published ones, for the records."""


class ImageFiles:
    """Image files, named relative to ``root``."""

    deviations: tuple[str, ...] = ()

    def __init__(self, root: Path, names: Iterable[str]) -> None:
        self.root = root
        self._names = Names(names)

    def __len__(self) -> int:
        return len(self._names)

    def name(self, index: int) -> str:
        """Path of image ``index``."""
        return str(self.read(index))

    def relative(self, index: int) -> str:
        """Path below the root."""
        return self._names[index]

    def read(self, index: int) -> Path:
        """Path of image ``index``."""
        return self.root / self._names[index]

    @property
    def fingerprint(self) -> str:
        """Sixteen hex digits of the paths relative to the root and their order."""
        return self._names.fingerprint


class ShardedImages:
    """The images of WebDataset shards, whatever else the samples hold.

    The shards are indexed by the webdataset library when they are opened; afterwards one read fetches one image, so
    that an epoch's order is drawn over all of them and a resume finds its place at once.
    """

    deviations: tuple[str, ...] = ()

    def __init__(self, shards: Sequence[Path]) -> None:
        self._shards = list(shards)
        members = [(number, *member) for number, shard in enumerate(shards) for member in _members(shard)]
        self._names = Names(f"{self._shards[number].name}/{name}" for number, name, _, _ in members)
        self._places = np.array([(number, offset, size) for number, _, offset, size in members]).reshape(-1, 3)
        self._open = lru_cache(maxsize=_MOST_OPEN)(lambda number: open(self._shards[number], "rb"))

    def __len__(self) -> int:
        return len(self._names)

    def name(self, index: int) -> str:
        """Path of the shard and name within it."""
        return str(self._shards[0].parent / self._names[index])

    def relative(self, index: int) -> str:
        """Shard and name within the shard."""
        return self._names[index]

    def read(self, index: int) -> bytes:
        """The encoded image."""
        number, offset, size = (int(value) for value in self._places[index])
        # Data-loading processes share the file's position: read by offset.
        return os.pread(self._open(number).fileno(), size, offset + _HEADER)

    @property
    def fingerprint(self) -> str:
        """Sixteen hex digits of the names and their order."""
        return self._names.fingerprint


def open_published(path: Path, split: str = "train") -> tuple[str, Images]:
    """The layout (``folder``, ``list`` or ``shards``) of what lies at ``path``, and its images; see ``open_images``.

    Raises:
        UserError: nothing there, or no image.
    """
    if path.is_file():
        lines = path.read_text().splitlines()
        return "list", require_images(ImageFiles(path.parent, (line.strip() for line in lines if line.strip())), path)
    if not path.is_dir():
        raise UserError(f"no images at {path}", "give an image folder, a list of files or a folder of tar shards")
    root = path / split if (path / split).is_dir() else path
    if shards := sorted(root.glob("*.tar")):
        return "shards", require_images(ShardedImages(shards), path)
    return "folder", require_images(files_below(root), path)


def files_below(root: Path) -> ImageFiles:
    """The image files in ``root`` at any depth, in the order of their paths."""
    return ImageFiles(root, sorted(_walk(root)))


def require_images(images: Images, path: Path) -> Images:
    """``images``, those of ``path``, if there are any.

    Raises:
        UserError: there is none.
    """
    if not len(images):
        raise UserError(f"{path} holds no image", f"image files end in {' '.join(sorted(SUFFIXES))}")
    return images


def is_image(name: str) -> bool:
    """Whether a file of this name is taken for an image; hidden files are not."""
    stem, suffix = os.path.splitext(os.path.basename(name))  # noqa: PTH119, PTH122 - millions of plain strings
    return suffix.lower() in SUFFIXES and not stem.startswith(".")


def _walk(root: Path) -> Iterator[str]:
    for folder, _, files in os.walk(root, followlinks=True):
        inner = os.path.relpath(folder, root)
        yield from (file if inner == "." else f"{inner}/{file}" for file in files if is_image(file))


def _members(shard: Path) -> list[tuple[str, int, int]]:
    from wids.wids_mmtar import MMIndexedTar

    index = MMIndexedTar(str(shard), verbose=False)
    try:
        return [member for member in index.by_index if is_image(member[0])]
    finally:
        index.close()
