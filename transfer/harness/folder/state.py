"""The state of each run, from its folder alone."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType

from crossmae.run.lock import owner
from crossmae.run.progress import ProgressFile
from crossmae.run.stop import EXIT_RESUME
from results.record import RecordError
from results.store import read_attempts
from transfer.harness.launch.slurm.squeue import Queued
from transfer.harness.plan.plan import Run


class State(StrEnum):
    """What a run is at the moment."""

    DONE = "done"
    RUNNING = "running"
    QUEUED = "queued"
    FAILED = "failed"
    MISSING = "missing"
    BLOCKED = "blocked"


@dataclass(frozen=True)
class Status:
    """A run, its state, and a line: why it failed or is blocked, or its Slurm job."""

    run: Run
    state: State
    reason: str = ""

    @property
    def progress(self) -> dict[str, float] | None:
        """The newest line of ``progress.jsonl``."""
        return ProgressFile(self.run.folder).last()


def states_of(runs: Iterable[Run], jobs: Mapping[Path, Queued] = MappingProxyType({})) -> list[Status]:
    """The state of each run; a run whose pretraining failed is blocked. ``jobs``: Slurm's, by run folder."""
    return [_status(run, jobs) for run in runs]


def _status(run: Run, jobs: Mapping[Path, Queued]) -> Status:
    own = _own(run, jobs)
    if own.state not in (State.MISSING, State.FAILED) or run.needs is None:
        return own
    needed = _own(run.needs, jobs)
    if needed.state is State.DONE:
        return own
    return Status(run, State.BLOCKED, f"waits for {run.needs.title} ({needed.state})")


def _own(run: Run, jobs: Mapping[Path, Queued]) -> Status:
    if (run.folder / "record.json").exists():
        return Status(run, State.DONE)
    if job := jobs.get(run.folder):
        return Status(run, State.RUNNING if job.runs else State.QUEUED, str(job))
    if not run.folder.is_dir():
        return Status(run, State.MISSING)
    if owner(run.folder):
        return Status(run, State.RUNNING)
    return _last_try(run)


def _last_try(run: Run) -> Status:
    try:
        attempts = read_attempts(run.folder)
    except RecordError as error:
        return Status(run, State.FAILED, str(error))
    if not attempts or attempts[-1].exit_code == EXIT_RESUME:
        return Status(run, State.MISSING)
    return Status(run, State.FAILED, attempts[-1].reason)
