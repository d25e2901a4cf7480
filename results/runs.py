"""All runs below a folder: finished, failed and unfinished ones, also those copied from other machines."""

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeGuard

from crossmae.errors import one_line
from results.record import Record, RecordError
from results.store import read_attempts, read_record

if TYPE_CHECKING:
    import pandas as pd

_STOPPED = 75
"""Exit code of a run that was stopped with its state saved; it did not fail."""


@dataclass(frozen=True)
class StoredRecord:
    """A record and the run folder that holds it, with its artifacts and ``progress.jsonl``."""

    folder: Path
    record: Record

    @property
    def backbone(self) -> str:
        """Name of the backbone."""
        return self.record.backbone.name

    @property
    def order(self) -> tuple[str, str, int]:
        """Task, backbone and seed: the order in which runs are listed."""
        return self.record.task.name, self.backbone, self.record.seed

    def artifact(self, name: str) -> Path | None:
        """The file of an artifact; None if the record names none or the file is gone.

        Raises:
            RecordError: it lies outside the run's folder, or is no regular file.
        """
        relative = self.record.artifacts.get(name)
        if relative is None:
            return None
        try:
            path = (self.folder / relative).resolve()
            inside, there = path.is_relative_to(self.folder.resolve()), path.exists()
        except (OSError, RuntimeError, ValueError) as error:  # Loops of links, null bytes, names that are too long.
            raise RecordError(f"{self.folder}: artifact {name} cannot be used ({one_line(error)})") from error
        if not inside:
            raise RecordError(f"{self.folder}: artifact {name} lies outside the run's folder")
        if there and not path.is_file():
            raise RecordError(f"{self.folder}: artifact {name} is not a regular file")
        return path if there else None


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
    problems: tuple[str, ...] = ()


class Planned(NamedTuple):
    """A run that was asked for, whether or not it has begun."""

    task: str
    backbone: str
    seed: int
    identity: str | None = None
    """Of the run that counts for the three; None for any."""


def find_runs(out: Path, planned: Iterable[Planned] = ()) -> Runs:
    """Every run below ``out``, at any depth: folders copied from other machines count like our own.

    Copies of one record count once. Records of one backbone's name that claim one identity with different metrics all
    count as failed; one identity under two names is two rows, as the same weights may have two names.
    ``planned`` runs that have left no trace count as unfinished; records of the same task, backbone and seed with
    another identity (on other data, or of another recipe) are left out.
    """
    planned = list(planned)
    asked = {run[:3]: run.identity for run in planned}
    stored: list[StoredRecord] = []
    unfinished: list[Unfinished] = []
    problems: list[str] = []
    for folder, finished in run_folders(out):
        try:
            if finished:
                stored.append(StoredRecord(folder, read_record(folder)))
            elif run := _unfinished(folder):
                unfinished.append(run)
        except RecordError as error:
            problems.append(str(error))
            unfinished.extend(_unreadable(folder, str(error)))
    kept, conflicts = _without_copies([run for run in stored if _is_asked_for(run.record, asked)])
    problems.extend(run.reason for run in conflicts if run.reason)
    still_open = (*_still_open(unfinished, kept), *conflicts)
    return Runs(tuple(kept), (*still_open, *_not_begun(planned, kept, still_open)), tuple(problems))


def machine_name(stored: StoredRecord) -> str:
    """What a run ran on: its GPUs, one per process and on all nodes, else its processor."""
    hardware = stored.record.provenance.hardware
    gpus = hardware.get("gpus")
    if isinstance(gpus, list) and gpus:
        return f"{hardware.get('processes', len(gpus))} x {gpus[0]}"
    return str(hardware.get("processor") or "unnamed hardware")


def measured_on(stored: StoredRecord) -> str:
    """``machine_name``, and how much of a processor was used: what a runtime depends on."""
    hardware, name = stored.record.provenance.hardware, machine_name(stored)
    if hardware.get("gpus") or "processes" not in hardware:
        return name
    threads = f", threads of each: {hardware['threads']}" if hardware.get("threads") else ""
    return f"{name}, processes: {hardware['processes']}{threads}"


def batch_of(stored: StoredRecord) -> str | None:
    """Micro-batch and accumulation of a run's updates, which memory and speed depend on; None if it does not say.

    The fewest equal micro-batches of at most ``per_device_batch``, as the trainer splits an update.
    """
    recipe, hardware = stored.record.recipe, stored.record.provenance.hardware
    batch, most = recipe.protocol.get("global_batch"), recipe.execution.get("per_device_batch")
    processes = hardware.get("processes") or 1
    if not (_is_count(batch) and _is_count(most) and _is_count(processes)):
        return None
    share = max(1, batch // processes)
    accumulation = next(count for count in range(-(-share // most), share + 1) if share % count == 0)
    return f"micro-batch {share // accumulation}, accumulation {accumulation}"


def _is_count(value: object) -> TypeGuard[int]:
    return type(value) is int and value > 0


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


def run_folders(out: Path) -> Iterator[tuple[Path, bool]]:
    """Every run's folder below ``out``, at any depth, and whether there is a record in it."""
    for name, subfolders, files in os.walk(out):
        # Hidden folders hold trials and leftovers, no results.
        subfolders[:] = sorted(folder for folder in subfolders if not folder.startswith("."))
        if "record.json" in files or "run.json" in files or "attempts" in subfolders:
            subfolders.clear()
            yield Path(name), "record.json" in files


def _unfinished(folder: Path) -> Unfinished | None:
    attempts = read_attempts(folder)
    failed = bool(attempts) and attempts[-1].exit_code != _STOPPED
    place = named_by(folder)
    return Unfinished(*place[:3], attempts[-1].reason if failed else None, folder) if place else None


def _unreadable(folder: Path, reason: str) -> Iterator[Unfinished]:
    if place := named_by(folder):
        yield Unfinished(*place[:3], reason, folder)


def named_by(folder: Path) -> Planned | None:
    """Task, backbone and seed from ``<task>/<backbone>/<seed>-<hash>``; None for a folder that is named otherwise."""
    with suppress(ValueError, IndexError):
        task, backbone, last = folder.parts[-3:]
        return Planned(task, backbone, int(last.split("-")[0]))
    return None


def _without_copies(stored: list[StoredRecord]) -> tuple[list[StoredRecord], list[Unfinished]]:
    claims: dict[tuple[str, str], list[StoredRecord]] = defaultdict(list)
    for run in stored:
        claims[run.backbone, run.record.identity].append(run)
    kept = [copies[0] for copies in claims.values() if _agree(copies)]
    return kept, [_conflict(copies) for copies in claims.values() if not _agree(copies)]


def _is_asked_for(record: Record, asked: Mapping[tuple[str, str, int], str | None]) -> bool:
    return asked.get(_place_of(record)[:3]) in (None, record.identity)


def _agree(copies: list[StoredRecord]) -> bool:
    return all(copy.record.metrics == copies[0].record.metrics for copy in copies)


def _conflict(copies: list[StoredRecord]) -> Unfinished:
    record = copies[0].record
    paths = " and ".join(str(copy.folder / "record.json") for copy in copies)
    reason = f"{paths}: claim the same identity {record.identity} with different metrics; keep one of them"
    return Unfinished(*_place_of(record)[:3], reason, copies[0].folder)


def _still_open(unfinished: list[Unfinished], kept: list[StoredRecord]) -> Iterator[Unfinished]:
    """A failed run that was later done under a corrected recipe is no longer of interest."""
    done = {_place_of(run.record)[:3] for run in kept}
    return (run for run in unfinished if (run.task, run.backbone, run.seed) not in done)


def _not_begun(
    planned: Iterable[Planned], kept: list[StoredRecord], still_open: Iterable[Unfinished]
) -> Iterator[Unfinished]:
    known = {_place_of(run.record)[:3] for run in kept} | {(run.task, run.backbone, run.seed) for run in still_open}
    return (Unfinished(*run[:3], reason=None) for run in planned if run[:3] not in known)


def _place_of(record: Record) -> Planned:
    return Planned(record.task.name, record.backbone.name, record.seed)
