"""What the controller asks of a launcher."""

import shutil
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from crossmae.run.stop import EXIT_RESUME
from results.record import Attempt
from transfer.harness.folder.attempts import attempts_of, end_attempt
from transfer.harness.folder.pace import last_lines
from transfer.harness.folder.record import is_done
from transfer.harness.folder.request import Request
from transfer.harness.plan.plan import Run
from transfer.harness.worker.failure import FULL_DISK, Failure, killed

_ROOM_FOR_A_REASON = 2**20
"""Bytes; with less, a run could not write down why it ended."""


@dataclass(frozen=True)
class Ended:
    """A run whose processes are gone. ``reason`` is empty if it is done."""

    run: Run
    exit_code: int
    reason: str = ""
    retryable: bool = False


class Launcher(Protocol):
    """Starts runs and reports when they ended."""

    def problems(self, runs: Sequence[Run]) -> list[str]:
        """Why ``runs`` could not be started here, each in one line that says what to do."""
        ...

    def adopt(self, runs: list[Run]) -> list[Run]:
        """Those of ``runs`` that a former controller started and that still run; ends what is left of others."""
        ...

    def start(self, run: Run, request: Request) -> bool:
        """Starts ``run``, whose process reads ``request``; returns False if there is no room for it now.

        Raises:
            OSError: its folder cannot be written.
            UserError: it is refused.
        """
        ...

    def poll(self) -> list[Ended]:
        """Runs that ended since the last call, well or not."""
        ...

    def stop(self) -> str:
        """Releases all runs without a loss, and says what becomes of them; ``poll`` reports them."""
        ...

    def kill(self) -> None:
        """Ends all runs at once."""
        ...

    def command(self, run: Run) -> str:
        """The command line that ``start`` would execute."""
        ...

    def place(self, run: Run) -> str:
        """Where a running run runs: its devices, or its job."""
        ...


def ending_of(run: Run, exit_code: int, since: float, cause: Failure | None = None) -> Ended:
    """The ending of a process that started at ``since`` (seconds since the epoch).

    A process that could not say why it ended gets its attempt here; ``cause`` is what the launcher knows of it.
    """
    if is_done(run.folder, run.identity):
        return Ended(run, 0)
    if cause is None and (attempt := _own_attempt(run, since)):
        return Ended(run, attempt.exit_code or exit_code or 1, attempt.reason, attempt.retryable)
    failure = cause or _guess(run, exit_code)
    with suppress(OSError):  # A full disk: the reason still reaches the screen.
        end_attempt(run.folder, failure.reason, exit_code, failure.retryable)
    return Ended(run, exit_code or 1, failure.reason, failure.retryable)


def _own_attempt(run: Run, since: float) -> Attempt | None:
    """The attempt that the process wrote itself: its session note is gone then."""
    if (run.folder / "session.json").exists():
        return None
    files = list((run.folder / "attempts").glob("*.json"))
    if not any(file.stat().st_mtime >= since - 1 for file in files):
        return None
    attempts = attempts_of(run.folder).read
    return attempts[-1] if attempts else None


def _guess(run: Run, exit_code: int) -> Failure:
    if exit_code == EXIT_RESUME:
        return Failure("stopped, state saved", True)
    if exit_code < 0:
        return killed(-exit_code, signal.Signals(-exit_code).name)
    if shutil.disk_usage(run.folder).free < _ROOM_FOR_A_REASON:
        return Failure(FULL_DISK, False)
    lines = last_lines(run.folder / "log.txt", 1)
    return Failure(lines[-1] if lines else f"exit code {exit_code} without an error message", False)
