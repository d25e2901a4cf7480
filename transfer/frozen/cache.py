"""Features on disk: computed chunk by chunk by any number of processes, then one array that is mapped into memory.

A finished cache is a folder with ``features.npy`` (N, views, C) and ``meta.json``. Until then, a hidden folder next to
it holds one file for each chunk of samples, whose name ends with its checksum: what a killed process was writing is not
there, and what is there and does not fit its checksum is computed again.
"""

import hashlib
import logging
import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crossmae.errors import UserError
from crossmae.files import open_regular, sync_folder, whole_folder, write_atomically, write_json
from crossmae.parsing import Count, Strict, parse_file
from crossmae.recipe import digest_of
from transfer.frozen.recipe import Point, Tokens

Array = NDArray[Any]
Compute = Callable[[int, int], Array]
"""Features (stop - start, views, C) of the samples from ``start`` to before ``stop``."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Views:
    """Features (N, views, C) and what each view is: ``raw token``, ``norm avg``, ..."""

    array: Array
    names: tuple[str, ...]

    def rows(self, *names: str) -> Tensor:
        """The named views, one after the other: (N, C * number of names), in memory, fp32."""
        columns = [torch.from_numpy(self.array[:, self.names.index(name)].astype("f4")) for name in names]
        return torch.cat(columns, dim=1)

    def inputs(self, point: Point, tokens: Tokens) -> Tensor:
        """What a linear classifier takes, (N, C) or, of both kinds of tokens, (N, 2 * C); in memory, fp32."""
        return self.rows(*_names(point, tokens))


def usable_tokens(names: Sequence[str], point: Point, wanted: Sequence[Tokens]) -> list[Tokens]:
    """Those of ``wanted`` that the views ``names`` hold.

    Raises:
        UserError: there are none.
    """
    usable = [tokens for tokens in wanted if set(_names(point, tokens)) <= set(names)]
    if not usable:
        raise UserError(f"the backbone has no features {point} {' or '.join(wanted)}", f"it has {', '.join(names)}")
    return usable


def _names(point: Point, tokens: Tokens) -> list[str]:
    return [f"{point} {kind}" for kind in (("token", "avg") if tokens == "concat" else (tokens,))]


@dataclass(frozen=True)
class _Meta(Strict):
    key: dict[str, Any]
    samples: Count
    sha256: str


@dataclass(frozen=True)
class FeatureCache:
    """The features of ``samples`` images under everything that decides their values, ``key``."""

    folder: Path
    """Of all caches."""
    key: dict[str, Any]
    samples: int
    width: tuple[int, int]
    """Views and numbers in each."""
    dtype: str
    """``float16`` or ``float32``."""

    @property
    def path(self) -> Path:
        """The folder of the finished cache."""
        return self.folder / digest_of(self.key)

    @property
    def parts(self) -> Path:
        """The folder of the chunks of an unfinished one."""
        return self.folder / f".{digest_of(self.key)}.chunks"

    @property
    def bytes(self) -> int:
        """Size of all features."""
        return self.samples * self.width[0] * self.width[1] * np.dtype(self.dtype).itemsize

    def require_space(self) -> None:
        """Raises UserError if the disk cannot hold the chunks and, for a moment, the array that is made of them."""
        self.folder.mkdir(parents=True, exist_ok=True)
        there = sum(file.stat().st_size for file in self.parts.glob("[0-9]*"))
        need, free = 2 * self.bytes - there, shutil.disk_usage(self.folder).free
        _log.info("features of %s images take %.2f GB in %s", f"{self.samples:,}", self.bytes / 1e9, self.path)
        if need > free:
            raise UserError(
                f"{self.folder} has {free / 1e9:.1f} GB free and {need / 1e9:.1f} GB are needed for features",
                "free some space, or name another folder as the recipe's cache",
            )

    def fill(self, compute: Compute, chunk: int, rank: int, world: int, report: Callable[[int], None]) -> None:
        """Computes the chunks that are missing among this process's: every ``world``-th, from ``rank`` on.

        Several runs that want the same features help each other: each begins anywhere and passes over what is there.

        Args:
            report: is called with the number of samples that a chunk, found or computed, holds.
        """
        starts = list(range(0, self.samples, chunk))[rank::world]
        first = random.SystemRandom().randrange(len(starts)) if starts else 0
        for start in starts[first:] + starts[:first]:
            stop = min(start + chunk, self.samples)
            if not self.path.is_dir() and not self._is_there(start, stop):
                self._write(start, stop, compute(start, stop))
            report(stop - start)

    def finish(self, chunk: int) -> None:
        """Makes the finished cache of the chunks, once all are there, and removes them."""
        if not self.path.is_dir():
            try:
                self._join(chunk)
            except FileNotFoundError:
                # Another run finished it and removed the chunks meanwhile.
                if not self.path.is_dir():
                    raise
        shutil.rmtree(self.parts, ignore_errors=True)

    def open(self) -> Array:
        """The features (N, views, C), mapped into memory.

        Raises:
            UserError: they are not those that were written.
        """
        meta, features = parse_file(_Meta, self.path / "meta.json"), _load(self.path / "features.npy", "r")
        expected = (self.samples, *self.width)
        right = features is not None and meta.key == self.key and features.shape == expected
        if features is None or not right or features.dtype != self.dtype or _sha256(features) != meta.sha256:
            raise UserError(f"{self.path} does not hold the features that were written", "remove the folder")
        return features

    def _join(self, chunk: int) -> None:
        with whole_folder(self.path) as folder:
            array = np.lib.format.open_memmap(
                folder / "features.npy", mode="w+", dtype=self.dtype, shape=(self.samples, *self.width)
            )
            for start in range(0, self.samples, chunk):
                stop = min(start + chunk, self.samples)
                if (part := self._read(start, stop)) is None:
                    raise FileNotFoundError(f"{self.parts}: no features of the samples from {start} to {stop}")
                array[start:stop] = part
            array.flush()
            write_json(asdict(_Meta(self.key, self.samples, _sha256(array))), folder / "meta.json")
            sync_folder(folder)

    def _write(self, start: int, stop: int, features: Array) -> None:
        with np.errstate(over="ignore"):
            kept = features.astype(self.dtype)
        if not np.isfinite(kept).all():
            raise UserError(
                f"features of the samples from {start} to {stop} are not finite in {self.dtype}",
                "set dtype=fp32, or look at the backbone's weights",
            )
        path = self.parts / f"{start}-{stop}-{_sha256(kept)}.npy"
        write_atomically(path, lambda part: _save(part, kept))

    def _is_there(self, start: int, stop: int) -> bool:
        return self._read(start, stop) is not None

    def _read(self, start: int, stop: int) -> Array | None:
        """The chunk, if its file is what was written; a damaged file is removed."""
        for path in sorted(self.parts.glob(f"{start}-{stop}-*.npy")):
            part = _load(path)
            if part is not None and path.stem == f"{start}-{stop}-{_sha256(part)}":
                return part
            path.unlink(missing_ok=True)
        return None


def _save(path: Path, array: Array) -> None:
    with path.open("wb") as file:
        np.save(file, array)


def _load(path: Path, mmap_mode: Literal["r"] | None = None) -> Array | None:
    try:
        open_regular(path).close()
        array = np.load(path, mmap_mode=mmap_mode, allow_pickle=False)
    except FileNotFoundError:
        raise
    except Exception:  # a wrong head fails in every way there is
        return None
    return array if isinstance(array, np.ndarray) else None


def _sha256(array: Array) -> str:
    digest = hashlib.sha256()
    for rows in _blocks(array):
        digest.update(np.ascontiguousarray(rows).data)
    return digest.hexdigest()


def _blocks(array: Array, rows: int = 8192) -> Iterator[Array]:
    for start in range(0, len(array), rows):
        yield array[start : start + rows]
