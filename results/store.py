"""Records on disk: written once and atomically, validated when they are read."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from crossmae.errors import one_line
from crossmae.files import read_regular, sync_folder
from results.record import Attempt, Record, RecordError

Content = TypeVar("Content", Record, Attempt)


def write_record(folder: Path, record: Record) -> Path:
    """Writes ``folder/record.json``, whole or not at all.

    Raises:
        RecordError: the folder has a record already; records are never overwritten.
    """
    path = folder / "record.json"
    if not _write_new(path, record.to_dict()):
        raise RecordError(f"{path} is there already; records are never overwritten")
    return path


def write_attempt(folder: Path, attempt: Attempt) -> Path:
    """Writes ``folder/attempts/N.json`` under the next free number, whole or not at all."""
    number = len(_attempt_files(folder)) + 1
    while not _write_new(path := folder / "attempts" / f"{number}.json", attempt.to_dict()):
        number += 1
    return path


def read_record(path: Path) -> Record:
    """Reads a ``record.json``, given itself or its run folder.

    Raises:
        RecordError: one line that names the file and the reason.
    """
    path = path / "record.json" if path.is_dir() else path
    return _read(path, Record.from_json)


def read_attempts(folder: Path) -> tuple[Attempt, ...]:
    """Reads the failed tries of a run folder, oldest first.

    Raises:
        RecordError: one line that names the file and the reason.
    """
    return tuple(_read(path, Attempt.from_json) for path in _attempt_files(folder))


def _write_new(path: Path, content: dict[str, Any]) -> bool:
    """Writes a file that is not there yet; False if it is. Unlike a rename, a link never replaces what is there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{uuid4().hex}.part")
    try:
        with open(part, "x") as file:
            json.dump(content, file, indent=2, allow_nan=False)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(part, path)
    except FileExistsError:
        return False
    finally:
        part.unlink(missing_ok=True)
    sync_folder(path.parent)
    return True


def _read(path: Path, build: Callable[[bytes, str], Content]) -> Content:
    try:
        content = read_regular(path)
    except OSError as error:
        raise RecordError(one_line(error)) from error
    return build(content, str(path))


def _attempt_files(folder: Path) -> list[Path]:
    files = [path for path in (folder / "attempts").glob("*.json") if path.stem.isdecimal()]
    return sorted(files, key=lambda path: int(path.stem))
