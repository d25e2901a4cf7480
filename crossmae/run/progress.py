"""``progress.jsonl``: heartbeat, live view and learning curves of a run in one file."""

import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

Report = Callable[[int, int, Mapping[str, float]], None]
"""Called with (update, total updates, metrics), as ``Context.progress`` of a task."""


class ProgressFile:
    """Appends one line per report; a torn last line (after a kill) is passed over when reading."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "progress.jsonl"

    def write(self, step: int, total: int, metrics: Mapping[str, float]) -> None:
        """Appends ``{"time": seconds since the epoch, "step", "total", **metrics}``."""
        line = json.dumps({"time": round(time.time(), 3), "step": step, "total": total, **metrics})
        with open(self.path, "a") as file:
            file.write(line + "\n")

    def read(self) -> list[dict[str, float]]:
        """All lines, oldest first. After a resume, steps that were repeated appear once: the later line counts."""
        lines: list[dict[str, float]] = []
        if not self.path.exists():
            return lines
        for text in self.path.read_text().splitlines():
            try:
                line = json.loads(text)
            except json.JSONDecodeError:
                continue
            while lines and _repeats(line, lines[-1]):
                lines.pop()
            lines.append(line)
        return lines

    def last(self) -> dict[str, float] | None:
        """The newest whole line, read from the file's end so that thousands of runs can be shown at once."""
        if not self.path.exists():
            return None
        with open(self.path, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 8192))
            texts = file.read().splitlines()
        for text in reversed(texts):
            try:
                line: dict[str, float] = json.loads(text)
                return line
            except json.JSONDecodeError:
                continue
        return None


def _repeats(line: dict[str, float], earlier: dict[str, float]) -> bool:
    """Whether a resumed run wrote ``line`` in place of ``earlier``; two kinds of report may share a step."""
    return earlier["step"] > line["step"] or (earlier["step"] == line["step"] and earlier.keys() == line.keys())
