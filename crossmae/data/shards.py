"""Images in tar shards, read in any order."""

import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from wids.wids_mmtar import MMIndexedTar

from crossmae.data.images import is_image
from crossmae.data.names import Names

_HEADER = 512
"""Bytes of a tar member before its content."""
_MOST_OPEN = 256


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


def _members(shard: Path) -> list[tuple[str, int, int]]:
    index = MMIndexedTar(str(shard), verbose=False)
    try:
        return [member for member in index.by_index if is_image(member[0])]
    finally:
        index.close()
