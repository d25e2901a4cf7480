"""What Slurm is asked for a run, and whether it would grant it."""

import subprocess
from typing import Any

from crossmae.errors import UserError
from transfer.harness.launch.slurm.profile import Profile
from transfer.harness.launch.slurm.squeue import call, job_name
from transfer.harness.plan.plan import Run


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
    """Of a command's complaint."""
    return text.strip().splitlines()[-1] if text.strip() else "without a word"
