"""Where images lie: a folder with or without class folders, a list of files, tar shards, or a staged cache of these."""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from crossmae.data.names import Names
from crossmae.errors import UserError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})

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


def open_images(path: Path, split: str = "train") -> Images:
    """The images at ``path``: a folder, a folder of tar shards, a text file with one path per line, or their cache.

    Of a folder that has a folder ``split``, that is taken. It is searched at any depth, in the order of the paths;
    class folders make no difference. Paths in a list are absolute or relative to the list's folder. The shards of a
    folder are its ``*.tar`` files, in the order of their names.

    Raises:
        UserError: nothing there, or no image.
    """
    from crossmae.data.staging.cache import find_cache, open_cache

    if found := find_cache(path):
        images: Images = open_cache(found[0]).opened(found[1], split)
    else:
        _, images = _open(path, path / split if (path / split).is_dir() else path)
    return _some(images, path)


def open_whole(path: Path) -> tuple[str, Images]:
    """What is to be staged from ``path``: its layout (``folder``, ``list`` or ``shards``), and all images.

    Raises:
        UserError: as ``open_images``; also a cache.
    """
    from crossmae.data.staging.cache import find_cache

    if find_cache(path):
        raise UserError(f"{path} is a cache already; stage from the data set itself")
    # Archives may lie beside what was unpacked from them: image files come first, whatever else is there.
    if path.is_dir() and len(files := ImageFiles(path, sorted(_walk(path)))):
        return "folder", files
    layout, images = _open(path, path / "train" if (path / "train").is_dir() else path)
    return layout, _some(images, path)


def open_listed(root: Path, files: Sequence[str]) -> Images:
    """The images ``files``, named relative to ``root``: a folder, or a cache or a place within one."""
    from crossmae.data.staging.cache import find_cache, open_cache

    found = find_cache(root)
    return open_cache(found[0]).listed(root, files) if found else ImageFiles(root, files)


def is_image(name: str) -> bool:
    """Whether a file of this name is taken for an image; hidden files are not."""
    stem, suffix = os.path.splitext(os.path.basename(name))  # noqa: PTH119, PTH122 - millions of plain strings
    return suffix.lower() in SUFFIXES and not stem.startswith(".")


def _some(images: Images, path: Path) -> Images:
    if not len(images):
        raise UserError(f"{path} holds no image; image files end in {' '.join(sorted(SUFFIXES))}")
    return images


def _open(path: Path, root: Path) -> tuple[str, Images]:
    if path.is_file():
        lines = path.read_text().splitlines()
        return "list", ImageFiles(path.parent, (line.strip() for line in lines if line.strip()))
    if not path.is_dir():
        raise UserError(f"no images at {path}; give an image folder, a list of files or a folder of tar shards")
    if shards := sorted(root.glob("*.tar")):
        from crossmae.data.shards import ShardedImages

        return "shards", ShardedImages(shards)
    return "folder", ImageFiles(root, sorted(_walk(root)))


def _walk(root: Path) -> Iterator[str]:
    for folder, _, files in os.walk(root, followlinks=True):
        inner = os.path.relpath(folder, root)
        yield from (file if inner == "." else f"{inner}/{file}" for file in files if is_image(file))
