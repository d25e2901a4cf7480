"""Runs on this machine: each a process tree of its own, on devices of its own."""

import os
import shlex
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from crossmae.files import open_to_append
from transfer.harness.folder.attempts import heartbeat
from transfer.harness.folder.request import Request, write_request
from transfer.harness.launch.devices import Pool
from transfer.harness.launch.launcher import Ended, ending_of
from transfer.harness.plan.plan import Run
from transfer.harness.worker.failure import Failure
from transfer.harness.worker.process_tree import (
    PARENT_VARIABLE,
    RUN_VARIABLE,
    SAVE_VARIABLE,
    ask_to_end,
    end_tree,
    kill_tree,
    processes_of,
    worker_command,
)

SECONDS_TO_SAVE = 300.0
"""Seconds that a run may take to save its state and end after it was asked to; then its processes are killed."""
GRACE = 30.0
"""The same, for what is left of a run whose first process is gone, hangs, or belonged to a killed controller."""


@dataclass
class _Started:
    run: Run
    process: "subprocess.Popen[bytes]"
    devices: tuple[str, ...]
    since: float
    hung: bool = False
    asked: bool = False
    """Whether all of its processes were asked to end."""
    deadline: float | None = None
    """When whatever is left of its processes is killed; None while it runs well."""

    def ask_to_end(self, patience: float) -> None:
        """Asks all of its processes to end, once; kills what still runs after ``patience`` seconds."""
        if not self.asked:
            self.asked = True
            self._kill_after(patience)
            ask_to_end(self.run.folder)

    def save_and_end(self, patience: float) -> None:
        """Asks the first process, which asks the others; kills what still runs after ``patience`` seconds."""
        self.process.terminate()
        self._kill_after(patience)

    def _kill_after(self, patience: float) -> None:
        deadline = time.time() + patience
        self.deadline = deadline if self.deadline is None else min(self.deadline, deadline)

    def is_over(self) -> bool:
        """Whether the last of its processes is gone."""
        return self.process.poll() is not None and not processes_of(self.run.folder)


class LocalLauncher:
    """A pool of devices that runs are packed onto."""

    def __init__(self, pool: Pool, hang_seconds: float, seconds_to_save: float = SECONDS_TO_SAVE) -> None:
        self._pool = pool
        self._hang_seconds = hang_seconds
        self._seconds_to_save = seconds_to_save
        self._started: list[_Started] = []

    def problems(self, runs: Sequence[Run]) -> list[str]:
        """What is wrong with the GPUs; a run that asks for more devices than there are takes those that there are."""
        return self._pool.problems()

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
        for started in self._started:
            self._look_after(started)
        over = [started for started in self._started if started.is_over()]
        self._started = [started for started in self._started if started not in over]
        return [self._ended(started) for started in over]

    def stop(self) -> str:
        """Asks all runs to save their state and end; those that do not are killed after ``seconds_to_save``."""
        for started in self._started:
            started.save_and_end(self._seconds_to_save)
        minutes = f"{self._seconds_to_save / 60:g}"
        return f"runs save their state, for at most {minutes} minutes; once more to leave at once"

    def kill(self) -> None:
        """Ends all process trees at once."""
        for started in self._started:
            kill_tree(started.run.folder)

    def command(self, run: Run) -> str:
        """The command line and the variables of its devices."""
        count = self._count(run)
        variables = self._pool.environment(self._pool.names[:count])
        shown = " ".join(
            f"{name}={shlex.quote(variables[name])}" for name in ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES")
        )
        return f"{shown} {shlex.join(worker_command(run.folder))}"

    def place(self, run: Run) -> str:
        """Its devices."""
        devices = (started.devices for started in self._started if started.run.folder == run.folder)
        return ",".join(name for names in devices for name in names)

    def _count(self, run: Run) -> int:
        return max(1, min(run.devices, self._pool.size))

    def _open(self, run: Run, devices: tuple[str, ...]) -> "subprocess.Popen[bytes]":
        with open_to_append(run.folder / "log.txt") as log:
            return subprocess.Popen(
                worker_command(run.folder),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment(run, devices),
                # A session of its own: a Ctrl-C in the terminal reaches the controller, which asks its runs to save.
                start_new_session=True,
            )

    def _environment(self, run: Run, devices: tuple[str, ...]) -> dict[str, str]:
        own = {
            RUN_VARIABLE: str(run.folder.resolve()),
            PARENT_VARIABLE: str(os.getpid()),
            SAVE_VARIABLE: str(int(self._seconds_to_save)),
            "PYTHONUNBUFFERED": "1",
        }
        return {**os.environ, **self._pool.environment(devices), **own}

    def _look_after(self, started: _Started) -> None:
        if started.process.poll() is not None:
            # Whatever the first process left alive must not write next to a successor, nor hold its devices.
            started.ask_to_end(GRACE)
        elif time.time() - max(started.since, heartbeat(started.run.folder)) > self._hang_seconds:
            started.hung = True
            started.ask_to_end(min(GRACE, self._hang_seconds))
        if started.deadline is not None and time.time() > started.deadline:
            kill_tree(started.run.folder)

    def _ended(self, started: _Started) -> Ended:
        self._pool.give_back(started.devices)
        silence = Failure(f"no sign of life for {self._hang_seconds / 60:g} minutes; ended", True)
        cause = silence if started.hung else None
        return ending_of(started.run, started.process.returncode, started.since, cause)
