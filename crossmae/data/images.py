"""What images are to everything that reads them, image files as the plainest kind, and the fingerprint of a data set.

A fingerprint is made of names, sizes and labels, wherever the files lie. Images are listed and not read, for there may
be millions. The demo's images are the exception: the same pixels are compressed to other sizes by other versions of
zlib, so theirs are decoded.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from os import walk
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from crossmae.data.decode import UnreadableImage, opened
from crossmae.data.names import Names
from crossmae.errors import UserError
from crossmae.files import open_regular
from crossmae.parsing import read_json

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

    def sizes(self) -> Sequence[int]:
        """Bytes of each image."""

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

    def sizes(self) -> list[int]:
        """Bytes of each file."""
        return [self.read(index).stat().st_size for index in range(len(self))]

    @property
    def fingerprint(self) -> str:
        """Sixteen hex digits of the paths relative to the root and their order."""
        return self._names.fingerprint


DEMO_FILE = "demo.json"
"""Lies in the folder of generated data."""

GENERATED = "generated demo data"
"""The deviation of whatever was trained or measured on it."""
_MARKS: tuple[set[str], ...] = (set(), {"classes", "train", "val"})
"""Keys in the file: none, or those of the numbers of classes and images. With any others it is somebody else's."""
_LONGEST_MARK = 1000

FileDigest = Callable[[Path], str]
"""Hex digits over a file's bytes."""

_THREADS = 4
"""A network disk answers several questions at once."""
_AT_ONCE = 1024


def is_generated(path: Path) -> bool:
    """Whether ``path``, a data set or a place in it, is or lies within a folder of generated data."""
    place = path.resolve()
    return any(_is_mark(folder / DEMO_FILE) for folder in (place, *place.parents))


def _is_mark(path: Path) -> bool:
    try:
        content = read_json(path) if path.is_file() and path.stat().st_size <= _LONGEST_MARK else None
    except UserError:
        return False
    return isinstance(content, dict) and set(content) in _MARKS


def digest_of_bytes(path: Path) -> str:
    """SHA-256 over the bytes of a file."""
    with open_regular(path) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def fingerprint_of(parts: Iterable[str]) -> str:
    """Sixteen hex digits of texts and their order."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode("utf-8", "surrogateescape") + b"\0")
    return digest.hexdigest()[:16]


def described(images: Images, root: Path) -> Iterator[str]:
    """Two texts for each image of the data set at ``root``: its name and its size, in the order of the images."""
    names = (images.relative(index) for index in range(len(images)))
    if isinstance(images, ImageFiles):
        look = _pixels if is_generated(root) else _size
        values = _each(look, [images.read(index) for index in range(len(images))])
    else:
        values = (str(size) for size in images.sizes())
    return chain.from_iterable(zip(names, values, strict=True))


def described_files(root: Path, names: Iterable[str]) -> Iterator[str]:
    """As ``described``, of the files ``names`` below ``root``."""
    return described(ImageFiles(root, names), root)


def files_of_any_kind(root: Path) -> list[str]:
    """Names of all files below ``root``, relative to it and sorted."""
    found = ((Path(folder).relative_to(root), files) for folder, _, files in walk(root))
    return sorted((folder / file).as_posix() for folder, files in found for file in files)


def _each(look: Callable[[Path], str], paths: list[Path]) -> Iterator[str]:
    with ThreadPoolExecutor(_THREADS) as pool:
        parts = (paths[start : start + _AT_ONCE] for start in range(0, len(paths), _AT_ONCE))
        for values in pool.map(lambda part: [look(path) for path in part], parts):
            yield from values


def _size(path: Path) -> str:
    try:
        return str(path.stat().st_size)
    except OSError:
        return "missing"


def _pixels(path: Path) -> str:
    try:
        with opened(path) as image:
            return hashlib.sha256(f"{image.mode} {image.size} ".encode() + image.tobytes()).hexdigest()
    except UnreadableImage:
        return _size(path)
