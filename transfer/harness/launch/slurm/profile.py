"""What a Slurm cluster wants to be told: a small YAML file."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from crossmae.errors import UserError


@dataclass(frozen=True)
class Profile:
    """One ``--profile FILE``; every value has a default, so a file of two lines will do."""

    partition: str | None = None
    account: str | None = None
    minutes: int = 1440
    """Time limit of a job; a run that needs longer is saved, requeued and resumed."""
    devices_per_node: int = 8
    gpus: bool = True
    """False: a device is a process on CPU cores."""
    cpus_per_device: int = 10
    memory_gb_per_device: int | None = None
    seconds_to_save: int = 120
    """How long before its end a job is told to save its state."""
    setup: tuple[str, ...] = ()
    """Shell lines before the job, such as ``module load cuda``."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Further options of sbatch by their long names, such as ``qos: high`` or ``constraint: a100``."""
    poll_seconds: float = 10.0
    """How often squeue is asked."""
    tasks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Task name to values that differ for its jobs, such as ``{coco_vitdet: {minutes: 4000}}``."""

    def of(self, task: str) -> "Profile":
        """The profile of this task's jobs."""
        own = {f.name: getattr(self, f.name) for f in fields(self)}
        return _build({**own, **self.tasks.get(task, {}), "tasks": {}}, f"tasks: {task}")

    def nodes(self, devices: int) -> int:
        """Nodes for a run on ``devices`` devices.

        Raises:
            UserError: they do not fill whole nodes.
        """
        if devices > self.devices_per_node and devices % self.devices_per_node:
            raise UserError(f"{devices} devices do not fill nodes of {self.devices_per_node}; give a multiple")
        return max(1, devices // self.devices_per_node)


def load_profile(path: Path) -> Profile:
    """Reads a profile.

    Raises:
        UserError: no such file, or a value that a profile does not have.
    """
    if not path.is_file():
        raise UserError(f"no profile {path}; --launcher slurm wants --profile FILE (see docs/slurm.md)")
    try:
        content = yaml.safe_load(path.read_text()) or {}
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    return _build(content, str(path))


def _build(content: Any, where: str) -> Profile:
    known = [f.name for f in fields(Profile)]
    if not isinstance(content, dict) or set(content) - set(known):
        raise UserError(f"{where}: not a profile; a profile has {', '.join(known)}")
    return Profile(**{**content, "setup": tuple(content.get("setup", ()))})
