"""The state of each run, from its folder alone."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from crossmae.run.lock import owner
from crossmae.run.stop import EXIT_RESUME
from transfer.harness.folder.attempts import attempts_of
from transfer.harness.folder.record import record_fault
from transfer.harness.plan.plan import Run


class RunState(StrEnum):
    """What a run is at the moment."""

    DONE = "done"
    RUNNING = "running"
    QUEUED = "queued"
    FAILED = "failed"
    MISSING = "missing"
    BLOCKED = "blocked"


@dataclass(frozen=True)
class RunStatus:
    """A run, its state, and a line: why it failed or is blocked, or its Slurm job."""

    run: Run
    state: RunState
    reason: str = ""


class QueuedJob(NamedTuple):
    """A job of a run as the cluster's queue shows it."""

    job: str
    state: str
    where: str
    """Its nodes, or in parentheses why it waits."""

    @property
    def runs(self) -> bool:
        """Whether it has its nodes."""
        return self.state == "RUNNING"

    def __str__(self) -> str:
        return f"job {self.job} {self.state.lower()} {self.where}".strip()


def states_of(runs: Iterable[Run], jobs: Mapping[Path, QueuedJob] = MappingProxyType({})) -> list[RunStatus]:
    """The state of each run; a run whose pretraining failed is blocked. ``jobs``: Slurm's, by run folder."""
    return [_status(run, jobs) for run in runs]


def _status(run: Run, jobs: Mapping[Path, QueuedJob]) -> RunStatus:
    own = _own(run, jobs)
    if own.state not in (RunState.MISSING, RunState.FAILED) or run.needs is None:
        return own
    needed = _own(run.needs, jobs)
    if needed.state is RunState.DONE:
        return own
    return RunStatus(run, RunState.BLOCKED, f"waits for {run.needs.title} ({needed.state})")


def _own(run: Run, jobs: Mapping[Path, QueuedJob]) -> RunStatus:
    fault = record_fault(run.folder, run.identity)
    if fault is None and (run.folder / "record.json").exists():
        return RunStatus(run, RunState.DONE)
    if job := jobs.get(run.folder):
        return RunStatus(run, RunState.RUNNING if job.runs else RunState.QUEUED, str(job))
    if not run.folder.is_dir():
        return RunStatus(run, RunState.MISSING)
    if owner(run.folder):
        return RunStatus(run, RunState.RUNNING)
    return RunStatus(run, RunState.FAILED, fault) if fault else _last_attempt(run)


def _last_attempt(run: Run) -> RunStatus:
    attempts, damaged = attempts_of(run.folder)
    if not attempts or attempts[-1].exit_code == EXIT_RESUME:
        return RunStatus(run, RunState.MISSING, "; ".join(damaged))
    return RunStatus(run, RunState.FAILED, "; ".join([attempts[-1].reason, *damaged]))
