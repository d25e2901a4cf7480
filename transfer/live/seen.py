"""What one run's folder says of it: its state and a line, from files alone, and from no link."""

import os
import time
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from crossmae.errors import UserError, one_line, printable
from crossmae.run.stop import EXIT_RESUME
from results.record import RecordError
from results.store import read_record
from transfer.harness.folder.attempts import attempts_of, heartbeat
from transfer.harness.folder.pace import pace_of
from transfer.harness.show.status import pace_line
from transfer.harness.show.time_left import Kind, clock

_SILENT = 300.0
"""Seconds without a word of a run after which its line says so."""
_READ = ("record.json", "session.json", "progress.jsonl", "log.txt", "attempts")


class LiveState(StrEnum):
    """What a cell of the matrix shows of a run."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class Seen(NamedTuple):
    """What a run's folder says."""

    state: LiveState
    share: float = 0.0
    line: str = ""
    number: str = ""
    left: float | None = None
    """Seconds that it still takes, of a run that has reported its progress."""
    taken: tuple[Kind, float] | None = None
    """Of a finished run: its kind and seconds."""


class FolderReader:
    """Reads folders of runs again and again; what is settled is read once, until its file is another one."""

    def __init__(self) -> None:
        self._settled: dict[Path, tuple[tuple[int, ...], Seen]] = {}

    def read(self, folder: Path) -> Seen | None:
        """None for a folder that has just gone."""
        try:
            entries = entries_of(folder)
        except UserError as error:
            return Seen(LiveState.FAILED, 0.0, bounded(one_line(error)))
        except OSError:
            return None
        if entry := entries.get("record.json"):
            return self._once(folder, entry, _done)
        if "session.json" in entries:
            return _running(folder)
        if entry := entries.get("attempts"):
            return self._once(folder, entry, _ended)
        return Seen(LiveState.WAITING)

    def _once(self, folder: Path, entry: os.DirEntry[str], read: Callable[[Path], Seen]) -> Seen | None:
        try:
            status = entry.stat(follow_symlinks=False)
        except OSError:
            return None
        mark = (status.st_mtime_ns, status.st_size, status.st_ino)
        known = self._settled.get(folder)
        if known is None or known[0] != mark:
            known = self._settled[folder] = mark, read(folder)
        return known[1]


def bounded(text: str, most: int = 300) -> str:
    """At most ``most`` characters of ``text``, all printable."""
    return printable(text[:most])


def entries_of(folder: Path) -> dict[str, os.DirEntry[str]]:
    """What lies in a run's folder, by name.

    Raises:
        UserError: a file that the page would show is a link, which may lead anywhere.
        OSError: there is no such folder.
    """
    with os.scandir(folder) as listed:
        entries = {entry.name: entry for entry in listed}
    for name in _READ:
        if name in entries and entries[name].is_symlink():
            raise UserError(f"{folder / name} is a link", "nothing of this run is shown")
    return entries


def _done(folder: Path) -> Seen:
    try:
        record = read_record(folder)
    except RecordError as error:
        return Seen(LiveState.FAILED, 0.0, bounded(one_line(error)))
    metrics = [(name, f"{value:.2f}") for name, value in record.metrics.items()]
    number, line = (metrics[0][1], f"{metrics[0][0]} {metrics[0][1]}") if metrics else ("done", "no metric")
    kind = record.task.name, record.recipe.hash
    return Seen(LiveState.DONE, 1.0, bounded(line), number, taken=(kind, record.cost.wall_seconds))


def _running(folder: Path) -> Seen:
    pace = pace_of(folder)
    try:
        silent = time.time() - heartbeat(folder)
    except OSError:  # It ended in between.
        silent = 0.0
    silence = f"; nothing heard for {clock(silent)}" if silent > _SILENT else ""
    share = min(max(pace.share, 0.0), 1.0) if pace else 0.0
    return Seen(LiveState.RUNNING, share, bounded(pace_line(pace) + silence), left=pace.seconds_left if pace else None)


def _ended(folder: Path) -> Seen:
    attempts, damaged = attempts_of(folder)
    if not attempts:
        return Seen(LiveState.WAITING, 0.0, bounded("; ".join(damaged)))
    if attempts[-1].exit_code == EXIT_RESUME:
        return Seen(LiveState.WAITING, 0.0, "stopped; the same command resumes it")
    return Seen(LiveState.FAILED, 0.0, bounded(attempts[-1].reason))
