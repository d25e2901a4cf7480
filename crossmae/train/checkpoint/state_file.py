"""Saved states: written so that a kill or a full disk leaves the earlier ones whole, and checked when read.

A state is one file, ``step-00001000.<first digits of its SHA-256>.pt``: the name cannot exist before the content does.
"""

import errno
import hashlib
import io
import logging
import os
import re
from collections import Counter, OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch

from crossmae.errors import UserError, one_line
from crossmae.files import open_regular, sync_folder
from crossmae.weights.files import read_content

log = logging.getLogger("crossmae")

_NAME = re.compile(r"step-(\d{8,})\.([0-9a-f]{16})\.pt")
_MOST_BYTES = 2**38
"""A larger file is no state but one with holes, which would be read for hours."""
_FULL = (errno.ENOSPC, errno.EDQUOT)

# What ``torch.load(weights_only=True)`` reads back.
_VALUES = (int, float, complex, bool, str, bytes, type(None), torch.dtype, torch.device)
_SEQUENCES = (list, tuple, set, torch.Size)
_MAPPINGS = (dict, OrderedDict, Counter)


@dataclass(frozen=True)
class StateFile:
    """A state on disk, known by its name only."""

    step: int
    digest: str
    path: Path

    def load(self) -> dict[str, Any] | None:
        """The state with its tensors on the CPU, or None if the file cannot be read or is not what was written."""
        try:
            if _digest(self.path) != self.digest:
                return None
            state = read_content(self.path)
        except (OSError, UserError) as error:
            log.warning("%s: %s", self.path, one_line(error, 200))
            return None
        return state if state.get("step") == self.step else None


def states(folder: Path) -> list[StateFile]:
    """The states in ``folder``, newest first."""
    if not folder.is_dir():
        return []
    matches = [(_NAME.fullmatch(path.name), path) for path in folder.iterdir()]
    files = [StateFile(int(m[1]), m[2], path) for m, path in matches if m]
    return sorted(files, key=lambda file: file.step, reverse=True)


def save_state(folder: Path, step: int, state: Mapping[str, Any]) -> Path:
    """Writes ``state`` and ``step`` under a temporary name, waits for the disk, and gives the file its own name.

    Raises:
        UserError: the disk is full; states written before are intact.
        TypeError: ``state`` holds an object that could not be read back.
    """
    content = plain({**state, "step": step})
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f"step-{step:08d}.tmp"
    try:
        digest = _write(temporary, content)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        if error.errno not in _FULL:
            raise
        raise UserError(
            f"no space left in {folder} for the state after update {step}",
            "the states before it are intact: free some space and start the same command again",
        ) from error
    path = folder / f"step-{step:08d}.{digest}.pt"
    temporary.rename(path)
    sync_folder(folder)
    return path


def plain(value: Any, name: str = "state") -> Any:
    """``value`` with NumPy's numbers as plain ones; whatever holds none of them is returned as it is.

    Raises:
        TypeError: it holds an object that a state cannot be read back with; the line says where.
    """
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, torch.Tensor) or type(value) in _VALUES:
        return value
    if type(value) in _MAPPINGS:
        items = {key: plain(item, f"{name}.{key}") for key, item in value.items()}
        return value if all(items[key] is item for key, item in value.items()) else type(value)(items)
    if type(value) in _SEQUENCES:
        parts = [plain(item, name) for item in value]
        return value if all(new is old for new, old in zip(parts, value, strict=True)) else type(value)(parts)
    raise TypeError(f"{name} is a {type(value).__name__}, which a saved state cannot hold")


def prune(folder: Path, keep: int, milestone_every: int | None) -> None:
    """Deletes what interrupted writes left, and all states but the ``keep`` newest and the milestones."""
    for path in folder.glob("step-*.tmp"):
        path.unlink()
    for old in states(folder)[keep:]:
        if not (milestone_every and old.step % milestone_every == 0):
            old.path.unlink()


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with open_regular(path) as file:
        if os.fstat(file.fileno()).st_size > _MOST_BYTES:
            raise OSError(errno.EFBIG, f"larger than {_MOST_BYTES:,} bytes", str(path))
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()[:16]


def _write(path: Path, state: dict[str, Any]) -> str:
    path.unlink(missing_ok=True)  # perhaps a link to another file, which must not be written
    with open(path, "xb") as file:
        hashing = _HashingFile(file)
        try:
            torch.save(state, hashing)  # type: ignore[arg-type]  # only write() is asked for
        except RuntimeError:
            # torch's writer hides the error of the file below it behind its own.
            if hashing.error is None:
                raise
            raise hashing.error from None
        file.flush()
        os.fsync(file.fileno())
        return hashing.digest.hexdigest()[:16]


class _HashingFile(io.RawIOBase):
    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.digest = hashlib.sha256()
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        try:
            self.file.write(data)
        except OSError as error:
            self.error = error
            raise
        self.digest.update(data)
        return len(data)
