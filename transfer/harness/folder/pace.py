"""Where a run stands, from the last lines of its log and of its ``progress.jsonl``."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path

from crossmae.files import open_regular
from crossmae.run.progress import metrics_of, report_of

LONGEST = 1e12
"""Seconds; what seems to take longer, 30,000 years, is a mistake."""


@dataclass(frozen=True)
class Pace:
    """Where a run stands."""

    step: int
    total: int
    rate: float
    """Steps per second."""
    metric: str
    """The newest reported value, as ``name value``."""

    @property
    def share(self) -> float:
        """From 0 to 1."""
        return self.step / self.total if self.total else 0.0

    @property
    def seconds_left(self) -> float | None:
        """None as long as the rate is not known, or where a report cannot be right."""
        left = (self.total - self.step) / self.rate if self.rate else inf
        return left if abs(left) < LONGEST else None


def pace_of(folder: Path) -> Pace | None:
    """The pace of the run in ``folder``; None as long as it has reported nothing."""
    lines = _tail(folder / "progress.jsonl")
    if not lines:
        return None
    return Pace(int(lines[-1]["step"]), int(lines[-1]["total"]), _rate(lines), _metric(lines[-1]))


def _tail(path: Path) -> list[dict[str, float]]:
    return [line for text in last_lines(path, 50) if (line := report_of(text)) is not None]


def _rate(lines: Sequence[dict[str, float]]) -> float:
    first = next((line for line in lines if line["step"] < lines[-1]["step"]), lines[-1])
    seconds = lines[-1]["time"] - first["time"]
    return float(lines[-1]["step"] - first["step"]) / seconds if seconds > 0 else 0.0


def _metric(line: dict[str, float]) -> str:
    return next((f"{name} {value:.4g}" for name, value in metrics_of(line).items()), "")


def last_lines(path: Path, count: int) -> list[str]:
    """The last ``count`` lines that are not blank, read from the file's end; none if there is no file."""
    try:
        with open_regular(path) as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 65536))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    # Progress bars overwrite their line with carriage returns: what counts is what stands there at the end.
    lines = [line.rstrip().rpartition("\r")[2] for line in text.splitlines()]
    return [line for line in lines if line.strip()][-count:]
