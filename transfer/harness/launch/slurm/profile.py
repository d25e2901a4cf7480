"""What Slurm is asked for a run: the cluster's profile, a small YAML file, and what follows from it."""

import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from crossmae.errors import UserError
from crossmae.parsing import Count, Positive, Strict, parse, read_yaml
from transfer.harness.launch.slurm.squeue import call, job_name
from transfer.harness.plan.plan import Run


@dataclass(frozen=True)
class Profile(Strict):
    """One ``--profile FILE``; every value has a default, so a file of two lines will do."""

    partition: str | None = None
    account: str | None = None
    minutes: Count = 1440
    """Time limit of a job; a run that needs longer is saved, requeued and resumed."""
    devices_per_node: Count = 8
    gpus: bool = True
    """False: a device is a process on CPU cores."""
    cpus_per_device: Count = 10
    memory_gb_per_device: Count | None = None
    seconds_to_save: Count = 120
    """How many seconds before its end a job is asked to save its state."""
    setup: tuple[str, ...] = ()
    """Shell lines before the job, such as ``module load cuda``."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Further options of sbatch by their long names, such as ``qos: high`` or ``constraint: a100``."""
    poll_seconds: Positive = 10.0
    """How often squeue is asked."""
    tasks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Task name to values that differ for its jobs, such as ``{coco_vitdet: {minutes: 4000}}``."""

    def of(self, task: str) -> "Profile":
        """The profile of this task's jobs."""
        return parse(Profile, {**asdict(self), **self.tasks.get(task, {}), "tasks": {}}, f"tasks.{task} of the profile")

    def nodes(self, devices: int) -> int:
        """Nodes for a run on ``devices`` devices.

        Raises:
            UserError: they do not fill whole nodes.
        """
        if devices > self.devices_per_node and devices % self.devices_per_node:
            raise UserError(f"{devices} devices do not fill nodes of {self.devices_per_node}", "give a multiple")
        return max(1, devices // self.devices_per_node)


def load_profile(path: Path) -> Profile:
    """Reads a profile.

    Raises:
        UserError: no such file, or a value that a profile does not have.
    """
    if not path.is_file():
        raise UserError(f"no profile {path}", "--launcher slurm wants --profile FILE (see docs/slurm.md)")
    profile = parse(Profile, read_yaml(path), f"profile {path}")
    for task in profile.tasks:
        profile.of(task)
    return profile


def parameters(profile: Profile, run: Run) -> dict[str, Any]:
    """Returns the parameters of submitit's Slurm executor.

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


def sbatch_options(profile: Profile, run: Run) -> list[str]:
    """``parameters`` as sbatch takes them on a command line."""
    values = parameters(profile, run)
    signal, more = f"USR2@{values.pop('signal_delay_s')}", values.pop("additional_parameters")
    del values["setup"]
    options = {**values, "signal": signal, **more}
    words = {name.replace("_", "-"): value for name, value in options.items() if value not in (None, False)}
    return [f"--{name}" if value is True else f"--{name}={value}" for name, value in words.items()]


def refusal(profile: Profile, run: Run) -> str | None:
    """Why Slurm would not take the run's job, in one line; None if it would."""
    try:
        call("sbatch", "--test-only", *sbatch_options(profile, run), "--wrap=true")
    except UserError as error:
        return str(error)
    except subprocess.CalledProcessError as error:
        return f"Slurm refuses jobs of {run.task.name} ({last_line(error.stderr)}); mend the profile"
    except subprocess.TimeoutExpired:
        return "Slurm does not answer; ask its administrator"
    return None


def last_line(text: str) -> str:
    """Returns the last line of a command's error message."""
    return text.strip().splitlines()[-1] if text.strip() else "no error message"
