"""Records on disk: written once and atomically, found again in any folder, also in one copied from elsewhere."""

import json
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from results.record import Attempt, Record, RecordError

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class StoredRecord:
    """A record and the run folder that holds it, with its artifacts and ``progress.jsonl``."""

    folder: Path
    record: Record


@dataclass(frozen=True)
class Unfinished:
    """A run that has no record: it failed (``reason`` is the newest attempt's), or never came to an end (None)."""

    task: str
    backbone: str
    seed: int
    reason: str | None
    folder: Path | None = None


@dataclass(frozen=True)
class Runs:
    """All that a folder of runs holds; ``problems`` are lines that name a file and what is wrong with it."""

    records: tuple[StoredRecord, ...] = ()
    unfinished: tuple[Unfinished, ...] = ()
    problems: tuple[str, ...] = field(default=())


class FoundRecords(NamedTuple):
    """What ``find_records`` returns."""

    records: tuple[StoredRecord, ...]
    problems: tuple[str, ...]


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
    record: Record = _named(path, Record.from_dict)
    return record


def read_attempts(folder: Path) -> tuple[Attempt, ...]:
    """The failed tries of a run folder, oldest first.

    Raises:
        RecordError: one line that names the file and the reason.
    """
    return tuple(_named(path, Attempt.from_dict) for path in _attempt_files(folder))


def find_records(out: Path) -> FoundRecords:
    """Every readable record below ``out``, sorted by path, and one line for each file that cannot be trusted."""
    runs = find_runs(out)
    return FoundRecords(runs.records, runs.problems)


def find_runs(out: Path) -> Runs:
    """Every run below ``out``, at any depth: folders copied from other machines count like our own.

    Copies of one record count once. Records that claim one identity with different metrics all count as failed.
    """
    stored: list[StoredRecord] = []
    unfinished: list[Unfinished] = []
    problems: list[str] = []
    for folder, finished in _run_folders(out):
        try:
            if finished:
                stored.append(StoredRecord(folder, read_record(folder)))
            elif run := _unfinished(folder):
                unfinished.append(run)
        except RecordError as error:
            problems.append(str(error))
            unfinished.extend(_unreadable(folder, str(error)))
    kept, conflicts = _without_copies(stored)
    problems.extend(run.reason for run in conflicts if run.reason)
    return Runs(tuple(kept), tuple(_still_open(unfinished, kept)) + tuple(conflicts), tuple(problems))


def frame(records: Iterable[StoredRecord]) -> "pd.DataFrame":
    """One row per record and metric: identity, task, backbone, seed, recipe, recipe_hash, metric, value, ..."""
    import pandas as pd

    columns = ["identity", "task", "backbone", "seed", "recipe", "recipe_hash", "metric", "value", "deviations"]
    columns += ["device_hours", "finished", "folder"]
    return pd.DataFrame([row for stored in records for row in _rows(stored)], columns=columns)


def _rows(stored: StoredRecord) -> Iterator[tuple[Any, ...]]:
    record = stored.record
    before = (record.identity, record.task.name, record.backbone.name, record.seed)
    after = (record.deviations, record.cost.device_hours, record.provenance.finished, str(stored.folder))
    for metric, value in record.metrics.items():
        yield (*before, record.recipe.name, record.recipe.hash, metric, value, *after)


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


def _named(path: Path, build: Any) -> Any:
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


def _run_folders(out: Path) -> Iterator[tuple[Path, bool]]:
    for name, subfolders, files in os.walk(out):
        subfolders.sort()
        if "record.json" in files or "run.json" in files or "attempts" in subfolders:
            subfolders.clear()
            yield Path(name), "record.json" in files


def _unfinished(folder: Path) -> Unfinished | None:
    attempts = read_attempts(folder)
    place = _place(folder)
    return Unfinished(*place, attempts[-1].reason if attempts else None, folder) if place else None


def _unreadable(folder: Path, reason: str) -> Iterator[Unfinished]:
    if place := _place(folder):
        yield Unfinished(*place, reason, folder)


def _place(folder: Path) -> tuple[str, str, int] | None:
    """Task, backbone and seed from ``<task>/<backbone>/<seed>-<hash>``; None for a folder that is named otherwise."""
    with suppress(ValueError, IndexError):
        task, backbone, last = folder.parts[-3:]
        return task, backbone, int(last.split("-")[0])
    return None


def _without_copies(stored: list[StoredRecord]) -> tuple[list[StoredRecord], list[Unfinished]]:
    claims: dict[str, list[StoredRecord]] = defaultdict(list)
    for one in stored:
        claims[one.record.identity].append(one)
    kept = [ones[0] for ones in claims.values() if _agree(ones)]
    return kept, [_conflict(ones) for ones in claims.values() if not _agree(ones)]


def _agree(ones: list[StoredRecord]) -> bool:
    return all(one.record.metrics == ones[0].record.metrics for one in ones)


def _conflict(ones: list[StoredRecord]) -> Unfinished:
    record = ones[0].record
    paths = " and ".join(str(one.folder / "record.json") for one in ones)
    reason = f"{paths}: claim the same identity {record.identity} with different metrics; keep one of them"
    return Unfinished(record.task.name, record.backbone.name, record.seed, reason, ones[0].folder)


def _still_open(unfinished: list[Unfinished], kept: list[StoredRecord]) -> Iterator[Unfinished]:
    """A failed run that was later done under a corrected recipe is no longer of interest."""
    done = {(one.record.task.name, one.record.backbone.name, one.record.seed) for one in kept}
    return (run for run in unfinished if (run.task, run.backbone, run.seed) not in done)
