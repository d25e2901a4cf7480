"""A finished cache as images, and as the folder that it was staged from."""

import hashlib
from bisect import bisect_left
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TypeGuard

import numpy as np
from numpy.typing import NDArray

from crossmae.data.images import Images
from crossmae.data.names import Names
from crossmae.data.staging.manifest import MANIFEST, NAMES, PLAN, UNREADABLE, part_path, read_index, read_manifest
from crossmae.errors import UserError
from crossmae.files import read_regular

TABLES = frozenset({".csv", ".tsv", ".parquet"})
LISTS = TABLES | {".json", ".txt"}
"""Suffixes of files next to the images that readers of data sets look for: they come along into a cache; those in
folders of the data set, where there may be a text file for each image, only if they are ``TABLES``.
"""


class Cache:
    """All images of a cache, by number and by name. Its index is verified when it is opened.

    Raises:
        UserError: staging was interrupted, or a file is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest = read_manifest(folder)
        self.plan = self.manifest.plan
        self.names = Names(read_regular(folder / NAMES).decode("utf-8", "surrogateescape").split("\0"))
        self._index = read_index(folder, self.manifest)
        if len(self.names) != self.plan.images:
            raise UserError(f"the cache {folder} is damaged: {NAMES} are not {self.plan.images:,}", "stage it again")
        self._part = lru_cache(maxsize=None)(self._map)

    def read(self, number: int) -> bytes | NDArray[np.uint8]:
        """The file or the pixels (height, width, 3) of an image; no bytes if it could not be read."""
        offset, size, height, width = (int(value) for value in self._index[number])
        content = self._part(number // self.plan.per_part)[offset : offset + size]
        return content.reshape(height, width, 3) if height else content.tobytes()

    def opened(self, inner: str, split: str) -> "StagedImages":
        """What ``open_images`` would take at the place ``inner`` of the source."""
        of_split = f"{inner}/{split}".removeprefix("/")
        return self._below(of_split if self._range(of_split) else inner)

    def is_folder(self, inner: str) -> bool:
        """Whether the source has images or lists at any depth in a folder ``inner``."""
        return bool(self._range(inner)) or (self.folder / inner).is_dir()

    def _below(self, inner: str) -> "StagedImages":
        numbers = self._range(inner)
        names = Names(self.names[number].removeprefix(f"{inner}/") for number in numbers) if inner else self.names
        return StagedImages(self, self.folder / inner, numbers, names)

    def _range(self, inner: str) -> range:
        if not inner:
            return range(len(self.names))
        if self.plan.layout != "folder":
            return range(0)
        # The names of a folder are sorted; "0" is the character after "/".
        return range(bisect_left(self.names, f"{inner}/"), bisect_left(self.names, f"{inner}0"))

    def listed(self, root: Path, files: Sequence[str]) -> "StagedImages":
        """The images ``files``, named relative to ``root`` in the cache; those that are not there cannot be read."""
        inner = root.relative_to(self.folder)
        number_of = {self.names[number]: number for number in range(len(self.names))}
        numbers = np.array([number_of.get(str(inner / file), -1) for file in files], np.int64)
        return StagedImages(self, root, numbers, Names(files))

    def entries(self, inner: str) -> tuple[list[str], list[str]]:
        """Names of the folders and files in folder ``inner`` of the source, "" being the source, with its lists."""
        prefix = f"{inner}/" if inner else ""
        folders, files = self._lists(inner)
        rest = self._range(inner)
        while rest:
            name, slash, _ = self.names[rest.start].removeprefix(prefix).partition("/")
            if name not in folders:
                (folders if slash else files).append(name)
            # Names out of order, as only a forged cache has them, must not send this backwards for ever.
            after = max(self._range(f"{prefix}{name}").stop if slash else 0, rest.start + 1)
            rest = range(after, rest.stop)
        return folders, files

    def _lists(self, inner: str) -> tuple[list[str], list[str]]:
        """The folders in folder ``inner`` that have lists at any depth, and the lists in it."""
        folder = self.folder / inner
        there = sorted(folder.iterdir()) if folder.is_dir() else []
        lists = (path.name for path in there if path.suffix.lower() in LISTS and path.is_file())
        own = (MANIFEST, PLAN, UNREADABLE) if not inner else ()
        return [path.name for path in there if path.is_dir()], [name for name in lists if name not in own]

    def size(self, number: int) -> int:
        """Bytes of an image as it is stored: those of the file, or of its pixels."""
        return int(self._index[number][1])

    def _map(self, part: int) -> NDArray[np.uint8]:
        if not self.manifest.parts[part][0]:
            return np.zeros(0, np.uint8)  # an empty file cannot be mapped
        return np.memmap(part_path(self.folder, part), np.uint8, "r").view(np.ndarray)


class StagedImages:
    """Some images of a cache in some order."""

    def __init__(self, cache: Cache, root: Path, numbers: Sequence[int] | NDArray[np.int64], names: Names) -> None:
        self.cache, self.root = cache, root
        self._numbers, self._names = numbers, names

    def __len__(self) -> int:
        return len(self._names)

    def name(self, index: int) -> str:
        """Path below the cache's folder."""
        return str(self.root / self._names[index])

    def relative(self, index: int) -> str:
        """Path below ``root``."""
        return self._names[index]

    def read(self, index: int) -> bytes | NDArray[np.uint8]:
        """The image file, or its pixels; no bytes if there is nothing to read."""
        number = int(self._numbers[index])
        return self.cache.read(number) if number >= 0 else b""

    def sizes(self) -> list[int]:
        """Bytes of each image as it is stored; 0 where there is nothing to read."""
        return [self.cache.size(int(number)) if number >= 0 else 0 for number in self._numbers]

    @property
    def digest(self) -> str:
        """SHA-256 of the digests of the cache's files: another content is another, whatever its names."""
        return hashlib.sha256(f"{self.cache.plan} {self.cache.manifest.parts}".encode()).hexdigest()

    @property
    def deviations(self) -> tuple[str, ...]:
        """How the images differ from those that were staged."""
        return (self.cache.plan.to_form().deviation(),) if self.cache.manifest.changed else ()

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the source if every image is as it was there."""
        if not self.deviations:
            return self._names.fingerprint
        text = f"{self._names.fingerprint} {self.cache.plan} {self.cache.manifest.index}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def holds_pixels(images: Images) -> TypeGuard[StagedImages]:
    """Whether ``images`` are decoded already."""
    return isinstance(images, StagedImages) and images.cache.plan.form == "raw"


def find_cache(path: Path) -> tuple[Path, str] | None:
    """The folder of the cache that ``path`` is or lies within, and the place within it ("" for the whole).

    Raises:
        UserError: ``path`` is a cache that is not finished.
    """
    for folder in (path, *path.parents):
        if (folder / MANIFEST).is_file():
            inner = path.relative_to(folder)
            return folder, "" if inner == Path() else str(inner)
    if (path / PLAN).is_file():
        raise UserError(f"staging of {path} was not finished", "start the same command again, or delete the folder")
    return None


def open_cache(folder: Path) -> Cache:
    """The cache in ``folder``, opened once for as long as it stays the same."""
    return _opened(folder, (folder / MANIFEST).stat().st_mtime_ns)


@lru_cache(maxsize=4)
def _opened(folder: Path, _: int) -> Cache:
    return Cache(folder)
