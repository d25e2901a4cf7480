"""Whether what runs leave fits on the disk."""

import shutil
from collections.abc import Iterable
from pathlib import Path

from transfer.harness.estimates import read_estimates
from transfer.harness.plan import Run
from transfer.harness.state import State, states_of

LEAST_GIB = 1.0
"""Where nothing is known of a suite's runs."""


def disk_problems(out: Path, runs: Iterable[Run]) -> list[str]:
    """Too little space for the runs that are not done, as far as ``transfer estimate`` has measured them."""
    place = next(folder for folder in (out.resolve(), *out.resolve().parents) if folder.is_dir())
    free, needed = shutil.disk_usage(place).free / 2**30, max(LEAST_GIB, _expected(out, runs) / 2**30)
    if free >= needed:
        return []
    return [f"{place} has {free:.1f} GiB free of {needed:.1f} that are needed; free some, or choose another --out"]


def _expected(out: Path, runs: Iterable[Run]) -> int:
    estimates = read_estimates(out)
    left = (status.run.identity for status in states_of(runs) if status.state is not State.DONE)
    return sum(estimates[identity].bytes_on_disk for identity in left if identity in estimates)
