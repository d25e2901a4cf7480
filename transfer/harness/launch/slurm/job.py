"""What a Slurm job executes on each of its nodes: the run's worker, asked to save when the job must leave."""

import os
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from submitit.helpers import DelayedSubmission

from crossmae.files import open_to_append
from transfer.harness.worker.process_tree import (
    PARENT_VARIABLE,
    RUN_VARIABLE,
    SAVE_VARIABLE,
    kill_tree,
    parent_of,
    processes_of,
    worker_command,
)
from transfer.harness.worker.torchrun import JOB_VARIABLE, NODE_VARIABLE, NODES_VARIABLE


class SlurmJob:
    """Runs one worker; requeued after a time-out or a preemption, it resumes from its saved state."""

    def __init__(self, folder: str, nodes: int, seconds_to_save: int, environment: Mapping[str, str]) -> None:
        self.folder = folder
        self.nodes = nodes
        self.seconds_to_save = seconds_to_save
        self.environment = dict(environment)

    def __call__(self) -> int:
        """Runs the worker and returns its exit code. The reason of a failure lies in the run folder."""
        with open_to_append(Path(self.folder) / "log.txt") as log:
            process = subprocess.Popen(
                worker_command(Path(self.folder)),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self.environment, **self._place()},
            )
        # Not wait(): a signal handler of this process polls the same child.
        while (code := process.poll()) is None:
            time.sleep(0.2)
        return code

    def checkpoint(self) -> DelayedSubmission:
        """Has the run save its state, and waits for it.

        submitit calls this method by its name when Slurm announces the end of the job, and requeues the job then. A job
        that ends without this is judged by the launcher, and started again by the controller.
        """
        folder = Path(self.folder)
        deadline = time.monotonic() + self.seconds_to_save * 0.8
        for pid in processes_of(folder):
            if parent_of(pid) == os.getpid():
                os.kill(pid, signal.SIGTERM)
        while processes_of(folder):
            if time.monotonic() > deadline:
                kill_tree(folder)
            time.sleep(0.2)
        return DelayedSubmission(self)

    def _place(self) -> dict[str, str]:
        restart = os.environ.get("SLURM_RESTART_COUNT", "0")
        return {
            RUN_VARIABLE: self.folder,
            SAVE_VARIABLE: str(int(self.seconds_to_save * 0.8)),
            PARENT_VARIABLE: str(os.getpid()),
            "PYTHONUNBUFFERED": "1",
            JOB_VARIABLE: f"{os.environ['SLURM_JOB_ID']}.{restart}",
            NODES_VARIABLE: str(self.nodes),
            NODE_VARIABLE: os.environ.get("SLURM_PROCID", "0"),
        }
