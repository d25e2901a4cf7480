"""Slurm's queue: the jobs of runs, found again by their names."""

import shutil
import subprocess
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from crossmae.errors import UserError
from crossmae.recipe import digest_of
from transfer.harness.folder.state import QueuedJob
from transfer.harness.plan.plan import Run

SUBMITTED = "slurm"
"""What submitit writes about a job lies in this folder of the run."""
_IN_QUEUE = {
    *("PENDING", "CONFIGURING", "RUNNING", "RESIZING", "SIGNALING", "STAGE_OUT", "COMPLETING"),
    *("SUSPENDED", "STOPPED", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT", "RESV_DEL_HOLD"),
}


def job_name(run: Run) -> str:
    """The same for every controller that works on this run folder, and for no other folder."""
    return f"{run.task.name}-{digest_of(str(run.folder.resolve()))}"


def queue() -> dict[str, QueuedJob]:
    """This user's jobs by name.

    Raises:
        UserError: there is no Slurm here.
        subprocess.SubprocessError: it does not answer.
    """
    shown = call("squeue", "--me", "--noheader", "--format=%j|%i|%T|%R").splitlines()
    lines = (line.split("|", maxsplit=3) for line in shown)
    return {name: QueuedJob(*rest) for name, *rest in lines if rest[1] in _IN_QUEUE}


def jobs_of(runs: Iterable[Run]) -> Mapping[Path, QueuedJob]:
    """The jobs of those ``runs`` that a controller has submitted, by run folder; none where there is no Slurm."""
    submitted = [run for run in runs if (run.folder / SUBMITTED).is_dir()]
    if not submitted or shutil.which("squeue") is None:
        return {}
    with suppress(subprocess.SubprocessError):  # Slurm's controller may be away for a while.
        jobs = queue()
        return {run.folder: jobs[job_name(run)] for run in submitted if job_name(run) in jobs}
    return {}


def call(*command: str) -> str:
    """The output of a Slurm command.

    Raises:
        UserError: it is not installed.
        subprocess.SubprocessError: it failed, or takes too long.
    """
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    except FileNotFoundError as error:
        raise UserError(
            f"no {command[0]} on this machine", "--launcher slurm is for a Slurm cluster's login node"
        ) from error
