"""Records on disk: written once and atomically, validated when they are read."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

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
    return _named(path, Record.from_dict)


def read_attempts(folder: Path) -> tuple[Attempt, ...]:
    """The failed tries of a run folder, oldest first.

    Raises:
        RecordError: one line that names the file and the reason.
    """
    return tuple(_named(path, Attempt.from_dict) for path in _attempt_files(folder))


def _write_new(path: Path, content: dict[str, Any]) -> bool:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with open(temporary, "w") as file:
        json.dump(content, file, indent=2, allow_nan=False)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(temporary, path)  # Unlike rename, a link never replaces what is there.
    except FileExistsError:
        return False
    finally:
        temporary.unlink()
    _sync_folder(path.parent)
    return True


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _named(path: Path, build: Callable[[Any], Content]) -> Content:
    try:
        return build(json.loads(path.read_text()))
    except json.JSONDecodeError as error:
        raise RecordError(f"{path}: truncated or not JSON (line {error.lineno}: {error.msg})") from error
    except UnicodeDecodeError as error:
        raise RecordError(f"{path}: not a text file") from error
    except OSError as error:
        raise RecordError(f"{path}: {error.strerror}") from error
    except RecordError as error:
        raise RecordError(f"{path}: {error}") from error


def _attempt_files(folder: Path) -> list[Path]:
    files = [path for path in (folder / "attempts").glob("*.json") if path.stem.isdigit()]
    return sorted(files, key=lambda path: int(path.stem))
