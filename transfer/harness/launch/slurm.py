"""Runs as Slurm jobs, through submitit: one job per run, found again by its name."""

import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

import submitit

from crossmae.errors import UserError
from crossmae.recipe import digest_of
from crossmae.train.stop import EXIT_RESUME
from transfer.harness.folder import Request, end_try, heartbeat, write_request
from transfer.harness.launch.ending import ending_of
from transfer.harness.launch.launcher import Ended
from transfer.harness.launch.profile import Profile
from transfer.harness.launch.slurm_job import SlurmJob
from transfer.harness.plan import Run

_GOES_ON = {
    *("PENDING", "CONFIGURING", "RUNNING", "RESIZING", "SIGNALING", "STAGE_OUT", "COMPLETING"),
    *("SUSPENDED", "STOPPED", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT", "RESV_DEL_HOLD"),
}
_PASSES = {"NODE_FAIL", "PREEMPTED", "TIMEOUT", "BOOT_FAIL", "REVOKED", "UNKNOWN"}
"""States after which another try may do better."""
_MANY = 10_000
"""submitit counts time-outs; a run of weeks may have as many as it needs."""


class Queued(NamedTuple):
    """A job as squeue shows it."""

    job: str
    state: str
    nodes: str


@dataclass
class _Job:
    run: Run
    queued: Queued
    since: float
    hung: bool = False


class SlurmLauncher:
    """Everything that can start is submitted; Slurm decides when it runs."""

    def __init__(self, profile: Profile, request_of: Callable[[Run, int], Request], hang_seconds: float) -> None:
        self._profile = profile
        self._request_of = request_of
        self._hang_seconds = hang_seconds
        self._jobs: list[_Job] = []
        self._looked = 0.0
        self._left = False

    def adopt(self, runs: list[Run]) -> list[Run]:
        """Runs whose jobs a former controller submitted and that are still in the queue."""
        queue = _queue()
        known = [run for run in runs if job_name(run) in queue]
        self._jobs = [_Job(run, queue[job_name(run)], time.time()) for run in known]
        return known

    def start(self, run: Run) -> bool:
        """Submits ``run``."""
        profile = self._profile.of(run.task.name)
        write_request(run.folder, self._request_of(run, run.devices))
        executor = submitit.SlurmExecutor(run.folder / "slurm", max_num_timeout=_MANY)
        executor.update_parameters(**parameters(profile, run))
        job = SlurmJob(
            str(run.folder.resolve()), profile.nodes(run.devices), profile.seconds_to_save, _environment(profile)
        )
        self._jobs.append(_Job(run, Queued(executor.submit(job).job_id, "PENDING", ""), time.time()))
        return True

    def poll(self) -> list[Ended]:
        """Runs whose jobs left the queue, asked every ``poll_seconds``."""
        if self._left:
            return [self._leave(job) for job in self._taken(self._jobs)]
        if time.monotonic() - self._looked < self._profile.poll_seconds:
            return []
        self._looked = time.monotonic()
        with suppress(OSError, subprocess.SubprocessError):  # The cluster's controller may be away for a while.
            queue = _queue()
            return [
                self._ended(job) for job in self._taken([job for job in self._jobs if not self._goes_on(job, queue)])
            ]
        return []

    def stop(self) -> None:
        """Jobs go on without the controller; the same command finds them again."""
        self._left = True

    def kill(self) -> None:
        """As ``stop``."""
        self._left = True

    def command(self, run: Run) -> str:
        """The options of sbatch and what the job executes."""
        options = parameters(self._profile.of(run.task.name), run)
        shown = " ".join(f"--{name.replace('_', '-')}={value}" for name, value in options.items() if value is not None)
        return f"sbatch {shown} python -P -m transfer.harness.worker {run.folder}"

    def place(self, run: Run) -> str:
        """Job number, state and nodes."""
        return next((_described(job.queued) for job in self._jobs if job.run.folder == run.folder), "")

    def _goes_on(self, job: _Job, queue: dict[str, Queued]) -> bool:
        found = queue.get(job_name(job.run))
        if found is None:
            return False
        if found.state != "RUNNING" or job.queued.state != "RUNNING":
            job.since = time.time()
        job.queued = found
        if time.time() - max(job.since, heartbeat(job.run.folder)) > self._hang_seconds and not job.hung:
            job.hung = True
            _call("scancel", found.job)
        return True

    def _taken(self, jobs: list[_Job]) -> list[_Job]:
        self._jobs = [job for job in self._jobs if job not in jobs]
        return jobs

    def _ended(self, job: _Job) -> Ended:
        if job.hung:
            silence = f"no sign of life for {self._hang_seconds / 60:g} minutes; job {job.queued.job} ended"
            return ending_of(job.run, 1, job.since, silence)
        if (job.run.folder / "session.json").exists():  # The job had no time to say why.
            state = _last_state(job.queued.job)
            reason = f"Slurm job {job.queued.job} ended: {state.lower()}"
            end_try(job.run.folder, reason, None, state in _PASSES)
            return Ended(job.run, 1, reason, state in _PASSES)
        return ending_of(job.run, 1, job.since)

    def _leave(self, job: _Job) -> Ended:
        return Ended(job.run, EXIT_RESUME, f"goes on as Slurm job {job.queued.job}; scancel {job.queued.job} ends it")


def job_name(run: Run) -> str:
    """The same for every controller that works on this run folder, and for no other folder."""
    return f"{run.task.name}-{digest_of(str(run.folder.resolve()))}"


def parameters(profile: Profile, run: Run) -> dict[str, Any]:
    """What submitit's Slurm executor is told.

    Raises:
        UserError: the run's devices do not fill whole nodes.
    """
    nodes = profile.nodes(run.devices)
    here = run.devices // nodes
    memory = profile.memory_gb_per_device
    return {
        "job_name": job_name(run),
        "partition": profile.partition,
        "account": profile.account,
        "time": profile.minutes,
        "nodes": nodes,
        "ntasks_per_node": 1,
        "cpus_per_task": profile.cpus_per_device * here,
        "gpus_per_node": here if profile.gpus else None,
        "mem": None if memory is None else f"{memory * here}GB",
        "signal_delay_s": profile.seconds_to_save,
        "setup": list(profile.setup) or None,
        "additional_parameters": {"requeue": True, **profile.extra},
    }


def _environment(profile: Profile) -> dict[str, str]:
    threads = str(profile.cpus_per_device)
    return {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}


def _described(queued: Queued) -> str:
    return f"job {queued.job} {queued.state.lower()} {queued.nodes}".strip()


def _queue() -> dict[str, Queued]:
    """This user's jobs by name."""
    lines = (line.split("|") for line in _call("squeue", "--me", "--noheader", "--format=%j|%i|%T|%N").splitlines())
    return {name: Queued(*rest) for name, *rest in lines if rest[1] in _GOES_ON}


def _last_state(job: str) -> str:
    """How a job ended, as far as Slurm still knows."""
    try:
        shown = _call("scontrol", "show", "job", "--oneliner", job)
    except subprocess.SubprocessError:
        return "UNKNOWN"
    words = dict(word.partition("=")[::2] for word in shown.split())
    return words.get("JobState", "UNKNOWN")


def _call(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    except FileNotFoundError as error:
        raise UserError(
            f"no {command[0]} on this machine; --launcher slurm is for a Slurm cluster's login node"
        ) from error
