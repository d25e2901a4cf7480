"""The launcher that the command line asks for: this machine's devices, or a Slurm cluster."""

from pathlib import Path

from crossmae.errors import UserError
from transfer.harness.launch.devices import find_pool
from transfer.harness.launch.launcher import Launcher
from transfer.harness.launch.local import LocalLauncher
from transfer.harness.launch.slurm.profile import load_profile


def choose_launcher(launcher: str, devices: str | None, profile: Path | None, hang_minutes: float) -> Launcher:
    """The launcher that the options describe; a run that is silent for ``hang_minutes`` is ended and retried.

    Raises:
        UserError: options that are wrong or do not go together.
    """
    if not hang_minutes > 0:  # nor NaN
        raise UserError(f"--hang-minutes {hang_minutes:g} would end every run at once", "give a positive number")
    if launcher == "local":
        return LocalLauncher(find_pool(devices), hang_minutes * 60)
    if launcher != "slurm":
        raise UserError(f"--launcher {launcher}: give local or slurm")
    if profile is None:
        raise UserError("--launcher slurm wants --profile FILE, which describes the cluster")
    from transfer.harness.launch.slurm.launcher import SlurmLauncher  # submitit takes its time

    return SlurmLauncher(load_profile(profile), hang_minutes * 60)
