"""A run on several devices: torchrun inside the run's first process, one process per device."""

import os
from pathlib import Path


def run_ranks(folder: Path, devices: int) -> int:
    """Runs the worker once per device; returns 0, or 1 if any of them did not end well."""
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import main

    os.environ["PYTHONSAFEPATH"] = "1"  # as -P for the first process
    try:
        main([*_rendezvous(), f"--nproc-per-node={devices}", "-m", "transfer.harness.worker", str(folder)])
    except (ChildFailedError, SignalException):
        return 1
    return 0


def _rendezvous() -> list[str]:
    return ["--standalone"]
