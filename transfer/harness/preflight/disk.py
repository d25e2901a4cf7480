"""Whether what runs leave fits on the disk."""

import shutil
from collections.abc import Iterable
from pathlib import Path

from transfer.harness.folder.expected import read_expected
from transfer.harness.folder.state import State, states_of
from transfer.harness.plan.plan import Run

LEAST_GIB = 5.0
"""States and checkpoints of a few ViT-B runs; where nothing is known of a suite's runs."""
LEAST_GIB_DEMO = 0.25


def disk_problems(out: Path, runs: Iterable[Run]) -> list[str]:
    """Too little space for the runs that are not done, as far as ``transfer estimate`` has measured them."""
    left = [status.run for status in states_of(runs) if status.state is not State.DONE]
    if not left:
        return []
    place = next(folder for folder in (out.resolve(), *out.resolve().parents) if folder.is_dir())
    free, needed = shutil.disk_usage(place).free / 2**30, _needed(out, left)
    if free >= needed:
        return []
    return [f"{place} has {free:.1f} GiB free of {needed:.1f} that are needed; free some, or choose another --out"]


def _needed(out: Path, runs: list[Run]) -> float:
    estimates = read_expected(out)
    measured = sum(estimates[run.identity].bytes_on_disk for run in runs if run.identity in estimates) / 2**30
    return max(measured, LEAST_GIB_DEMO if all(run.demo_data for run in runs) else LEAST_GIB)
