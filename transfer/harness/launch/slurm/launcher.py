"""Runs as Slurm jobs, through submitit: one job per run, found again by its name."""

import shlex
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import submitit
from submitit.core.utils import FailedJobError

from crossmae.errors import UserError
from crossmae.run.stop import EXIT_RESUME
from transfer.harness.folder.attempts import heartbeat
from transfer.harness.folder.request import Request, write_request
from transfer.harness.folder.state import QueuedJob
from transfer.harness.launch.launcher import Ended, ending_of
from transfer.harness.launch.slurm.job import SlurmJob
from transfer.harness.launch.slurm.profile import Profile, last_line, parameters, refusal, sbatch_options
from transfer.harness.launch.slurm.squeue import SUBMITTED, call, job_name, queue
from transfer.harness.plan.plan import Run
from transfer.harness.worker.failure import Failure
from transfer.harness.worker.gpu import DEVICE_VARIABLE

_PASSES = {"NODE_FAIL", "PREEMPTED", "TIMEOUT", "BOOT_FAIL", "REVOKED", "UNKNOWN"}
"""States after which another try may do better."""
_MANY = 10_000
"""submitit counts time-outs; a run of weeks may have as many as it needs."""


@dataclass
class _SubmittedRun:
    run: Run
    queued: QueuedJob
    since: float
    hung: bool = False


class SlurmLauncher:
    """Everything that can start is submitted; Slurm decides when it runs."""

    def __init__(self, profile: Profile, hang_seconds: float) -> None:
        self._profile = profile
        self._hang_seconds = hang_seconds
        self._jobs: list[_SubmittedRun] = []
        self._looked = 0.0
        self._left = False

    def problems(self, runs: Sequence[Run]) -> list[str]:
        """Slurm's refusals, asked once for each task and number of devices."""
        kinds = {(run.task.name, run.devices): run for run in runs}
        return [line for run in kinds.values() if (line := refusal(self._profile.of(run.task.name), run))]

    def adopt(self, runs: list[Run]) -> list[Run]:
        """Runs whose jobs a former controller submitted and that are still in the queue."""
        jobs = queue()
        adopted = [run for run in runs if job_name(run) in jobs]
        self._jobs = [_SubmittedRun(run, jobs[job_name(run)], time.time()) for run in adopted]
        return adopted

    def start(self, run: Run, request: Request) -> bool:
        """Submits ``run``."""
        profile = self._profile.of(run.task.name)
        write_request(run.folder, request)
        executor = submitit.SlurmExecutor(run.folder / SUBMITTED, max_num_timeout=_MANY)
        executor.update_parameters(**parameters(profile, run))
        job = SlurmJob(
            str(run.folder.resolve()), profile.nodes(run.devices), profile.seconds_to_save, _environment(profile)
        )
        try:
            submitted = executor.submit(job)
        except FailedJobError as error:
            raise UserError(f"Slurm refuses it: {last_line(str(error))}") from error
        self._jobs.append(_SubmittedRun(run, QueuedJob(submitted.job_id, "PENDING", ""), time.time()))
        return True

    def poll(self) -> list[Ended]:
        """Runs whose jobs left the queue, asked every ``poll_seconds``."""
        if self._left:
            return [self._leave(job) for job in self._taken(self._jobs)]
        if time.monotonic() - self._looked < self._profile.poll_seconds:
            return []
        self._looked = time.monotonic()
        with suppress(OSError, subprocess.SubprocessError):  # The cluster's controller may be away for a while.
            jobs = queue()
            over = [job for job in self._jobs if not self._is_queued(job, jobs)]
            return [self._ended(job) for job in self._taken(over)]
        return []

    def stop(self) -> str:
        """Leaves the jobs running: they need no controller."""
        self._left = True
        return "jobs keep running; the same command finds them again"

    def kill(self) -> None:
        """As ``stop``."""
        self._left = True

    def command(self, run: Run) -> str:
        """The options of sbatch and what the job executes."""
        options = sbatch_options(self._profile.of(run.task.name), run)
        return shlex.join(["sbatch", *options, f"--wrap=python -P -m transfer.harness.worker {run.folder}"])

    def place(self, run: Run) -> str:
        """Job number, state and nodes."""
        return next((str(job.queued) for job in self._jobs if job.run.folder == run.folder), "")

    def _is_queued(self, job: _SubmittedRun, jobs: dict[str, QueuedJob]) -> bool:
        queued = jobs.get(job_name(job.run))
        if queued is None:
            return False
        if not (queued.runs and job.queued.runs):
            job.since = time.time()
        job.queued = queued
        if time.time() - max(job.since, heartbeat(job.run.folder)) > self._hang_seconds and not job.hung:
            job.hung = True
            call("scancel", queued.job)
        return True

    def _taken(self, jobs: list[_SubmittedRun]) -> list[_SubmittedRun]:
        self._jobs = [job for job in self._jobs if job not in jobs]
        return jobs

    def _ended(self, job: _SubmittedRun) -> Ended:
        return ending_of(job.run, 1, job.since, self._cause(job))

    def _cause(self, job: _SubmittedRun) -> Failure | None:
        """What Slurm knows; None where the run itself knows better."""
        if job.hung:
            return Failure(f"no sign of life for {self._hang_seconds / 60:g} minutes; job {job.queued.job} ended", True)
        state = _last_state(job.queued.job)
        if state == "CANCELLED":  # By the user: whether the run saved its state or not, it is not to start again.
            return Failure(f"Slurm job {job.queued.job} was cancelled", False)
        if (job.run.folder / "session.json").exists():  # The job had no time to say why.
            return Failure(f"Slurm job {job.queued.job} ended: {state.lower()}", state in _PASSES)
        return None

    def _leave(self, job: _SubmittedRun) -> Ended:
        return Ended(
            job.run, EXIT_RESUME, f"keeps running as Slurm job {job.queued.job}; scancel {job.queued.job} ends it"
        )


def _environment(profile: Profile) -> dict[str, str]:
    threads = str(profile.cpus_per_device)
    device = "cuda" if profile.gpus else "cpu"
    return {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, DEVICE_VARIABLE: device}


def _last_state(job: str) -> str:
    """How a job ended, as far as Slurm still knows."""
    try:
        shown = call("scontrol", "show", "job", "--oneliner", job)
    except subprocess.SubprocessError:
        return "UNKNOWN"
    words = dict(word.partition("=")[::2] for word in shown.split())
    return words.get("JobState", "UNKNOWN")
