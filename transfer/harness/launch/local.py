"""Runs on this machine: each a process tree of its own, on devices of its own."""

import os
import shlex
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from transfer.harness.folder.attempts import heartbeat
from transfer.harness.folder.request import Request, write_request
from transfer.harness.launch.devices import Pool
from transfer.harness.launch.launcher import Ended, ending_of
from transfer.harness.plan.plan import Run
from transfer.harness.worker.failure import Failure
from transfer.harness.worker.process_tree import (
    PARENT_VARIABLE,
    RUN_VARIABLE,
    ask_to_end,
    end_tree,
    kill_tree,
    processes_of,
    worker_command,
)

GRACE = 30.0
"""Seconds that a process may take to save its state before it is killed."""


@dataclass
class _Started:
    run: Run
    process: "subprocess.Popen[bytes]"
    devices: tuple[str, ...]
    since: float
    hung: bool = False
    deadline: float | None = None
    """When whatever is left of its processes is killed; None while it runs well."""

    def ask_to_end(self, patience: float) -> None:
        """Once; what lives on after ``patience`` seconds is killed."""
        if self.deadline is None:
            self.deadline = time.time() + patience
            ask_to_end(self.run.folder)

    def is_over(self) -> bool:
        """Whether the last of its processes is gone."""
        return self.process.poll() is not None and not processes_of(self.run.folder)


class LocalLauncher:
    """A pool of devices that runs are packed onto."""

    def __init__(self, pool: Pool, hang_seconds: float) -> None:
        self._pool = pool
        self._hang_seconds = hang_seconds
        self._started: list[_Started] = []

    def problems(self, runs: Sequence[Run]) -> list[str]:
        """None: a run that asks for more devices than there are takes those that there are."""
        return []

    def adopt(self, runs: list[Run]) -> list[Run]:
        """Ends what a killed controller left behind; its runs start again from their saved states."""
        for run in runs:
            if run.folder.is_dir() and processes_of(run.folder):
                end_tree(run.folder, GRACE)
        return []

    def start(self, run: Run, request: Request) -> bool:
        """Starts ``run`` on as many devices as it asks for or there are; False if too few of them are free."""
        count = self._count(run)
        devices = self._pool.take(count)
        if devices is None:
            return False
        try:
            write_request(run.folder, replace(request, devices=count))
            process = self._open(run, devices)
        except OSError:
            self._pool.give_back(devices)
            raise
        self._started.append(_Started(run, process, devices, time.time()))
        return True

    def poll(self) -> list[Ended]:
        """Runs that ended; one without a sign of life for too long is ended here."""
        for one in self._started:
            self._look_after(one)
        over = [one for one in self._started if one.is_over()]
        self._started = [one for one in self._started if one not in over]
        return [self._ended(one) for one in over]

    def stop(self) -> str:
        """Asks all runs to save their state and end."""
        for one in self._started:
            one.process.terminate()
        return "runs save their state; once more to leave at once"

    def kill(self) -> None:
        """Ends all process trees at once."""
        for one in self._started:
            kill_tree(one.run.folder)

    def command(self, run: Run) -> str:
        """The command line and the variables of its devices."""
        count = self._count(run)
        variables = self._pool.environment(self._pool.names[:count])
        shown = " ".join(f"{name}={shlex.quote(value)}" for name, value in variables.items() if "MKL" not in name)
        return f"{shown} {shlex.join(worker_command(run.folder))}"

    def place(self, run: Run) -> str:
        """Its devices."""
        return ",".join(name for one in self._started if one.run.folder == run.folder for name in one.devices)

    def _count(self, run: Run) -> int:
        return max(1, min(run.devices, self._pool.size))

    def _open(self, run: Run, devices: tuple[str, ...]) -> "subprocess.Popen[bytes]":
        with open(run.folder / "log.txt", "ab") as log:
            return subprocess.Popen(
                worker_command(run.folder),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment(run, devices),
                # A session of its own: a Ctrl-C in the terminal reaches the controller, which tells its runs to save.
                start_new_session=True,
            )

    def _environment(self, run: Run, devices: tuple[str, ...]) -> dict[str, str]:
        own = {RUN_VARIABLE: str(run.folder.resolve()), PARENT_VARIABLE: str(os.getpid()), "PYTHONUNBUFFERED": "1"}
        return {**os.environ, **self._pool.environment(devices), **own}

    def _look_after(self, one: _Started) -> None:
        if one.process.poll() is not None:
            # Whatever the first process left alive must not write beside a successor, nor hold its devices.
            one.ask_to_end(GRACE)
        elif time.time() - max(one.since, heartbeat(one.run.folder)) > self._hang_seconds:
            one.hung = True
            one.ask_to_end(min(GRACE, self._hang_seconds))
        if one.deadline is not None and time.time() > one.deadline:
            kill_tree(one.run.folder)

    def _ended(self, one: _Started) -> Ended:
        self._pool.give_back(one.devices)
        cause = Failure(f"no sign of life for {self._hang_seconds / 60:g} minutes; ended", True) if one.hung else None
        return ending_of(one.run, one.process.returncode, one.since, cause)
