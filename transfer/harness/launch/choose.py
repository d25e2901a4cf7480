"""Where runs are to run, as the command line says it: this machine's devices, or a Slurm cluster."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from crossmae.errors import UserError
from transfer.harness.folder.request import Request
from transfer.harness.launch.devices import Pool, find_pool
from transfer.harness.launch.launcher import Launcher
from transfer.harness.launch.local import LocalLauncher
from transfer.harness.launch.slurm.profile import Profile, load_profile
from transfer.harness.plan.plan import Run

RequestOf = Callable[[Run, int], Request]


class Place(Protocol):
    """Devices and the launcher that starts runs on them."""

    def launcher(self, request_of: RequestOf) -> Launcher:
        """A launcher that tells runs what ``request_of`` says."""
        ...


@dataclass(frozen=True)
class ThisMachine:
    """A pool of devices."""

    pool: Pool
    hang_seconds: float

    def launcher(self, request_of: RequestOf) -> Launcher:
        """Packs runs onto the pool."""
        return LocalLauncher(self.pool, request_of, self.hang_seconds)


@dataclass(frozen=True)
class Cluster:
    """Slurm, described by a profile."""

    profile: Profile
    hang_seconds: float

    def launcher(self, request_of: RequestOf) -> Launcher:
        """Submits a job per run."""
        from transfer.harness.launch.slurm.launcher import SlurmLauncher

        return SlurmLauncher(self.profile, request_of, self.hang_seconds)


def find_place(launcher: str, devices: str | None, profile: Path | None, hang_minutes: float) -> Place:
    """From options.

    Raises:
        UserError: options that are wrong or do not go together.
    """
    if launcher == "local":
        return ThisMachine(find_pool(devices), hang_minutes * 60)
    if launcher != "slurm":
        raise UserError(f"--launcher {launcher}: give local or slurm")
    if profile is None:
        raise UserError("--launcher slurm wants --profile FILE, which says what the cluster wants to be told")
    return Cluster(load_profile(profile), hang_minutes * 60)
