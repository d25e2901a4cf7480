"""``progress.jsonl``: heartbeat, live view and learning curves of a run in one file."""

import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from crossmae.files import open_regular, open_to_append

Report = Callable[[int, int, Mapping[str, float]], None]
"""Called with (update, total updates, metrics), as ``Context.progress`` of a task."""


_PLACE = {"time", "step", "total"}
_MOST = 1e300
"""Greater numbers are mistakes that cannot be reckoned with."""


class ProgressFile:
    """Appends one line per report; a torn last line (after a kill) is passed over when reading."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "progress.jsonl"

    def write(self, step: int, total: int, metrics: Mapping[str, float]) -> None:
        """Appends ``{"time": seconds since the epoch, "step", "total", **metrics}``."""
        line = json.dumps({"time": round(time.time(), 3), "step": step, "total": total, **metrics})
        with open_to_append(self.path) as file:
            file.write(f"{line}\n".encode())

    def read(self) -> list[dict[str, float]]:
        """All lines, oldest first. After a resume, steps that were repeated appear once: the later line counts."""
        lines: list[dict[str, float]] = []
        for line in self._newest(2**26):
            while lines and _repeats(line, lines[-1]):
                lines.pop()
            lines.append(line)
        return lines

    def last(self) -> dict[str, float] | None:
        """The newest whole line, read from the file's end so that thousands of runs can be shown at once."""
        lines = self._newest(8192)
        return lines[-1] if lines else None

    def _newest(self, most: int) -> list[dict[str, float]]:
        """The lines in the last ``most`` bytes that are reports; none if there is no such file."""
        try:
            with open_regular(self.path) as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - most))
                texts = file.read().splitlines()
        except OSError:
            return []
        return [line for text in texts if (line := report_of(text)) is not None]


def report_of(text: str | bytes) -> dict[str, float] | None:
    """A line of ``progress.jsonl``; None for one that is torn or no report."""
    try:
        line = json.loads(text)
    except (ValueError, RecursionError):
        return None
    named = isinstance(line, dict) and line.keys() >= _PLACE
    numbers = named and all(isinstance(value, int | float) and abs(value) < _MOST for value in line.values())
    return line if numbers else None


def metrics_of(line: Mapping[str, float]) -> dict[str, float]:
    """What a report measured: all but its time and its place in the run."""
    return {name: value for name, value in line.items() if name not in _PLACE}


def _repeats(line: dict[str, float], earlier: dict[str, float]) -> bool:
    """Whether a resumed run wrote ``line`` in place of ``earlier``; two kinds of report may share a step."""
    return earlier["step"] > line["step"] or (earlier["step"] == line["step"] and earlier.keys() == line.keys())
