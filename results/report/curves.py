"""Learning curves from the runs' ``progress.jsonl``."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crossmae.errors import one_line
from crossmae.files import read_regular
from results.runs import StoredRecord

_POINTS = 400
_LARGEST = 1e15
"""A drawing cannot span more."""


@dataclass(frozen=True)
class Curve:
    """One metric of one run over its training steps."""

    backbone: str
    seed: int
    steps: tuple[float, ...]
    values: tuple[float, ...]


Panels = dict[str, list[Curve]]
"""Curves that share a panel, by the metric's name."""


def read_curves(records: Iterable[StoredRecord]) -> tuple[dict[str, Panels], list[str]]:
    """Reads the loss and the record's own metrics by task, at most 400 points each, backbones in order of their names.

    Returns:
        The curves, and a line for each file of which something could not be used.
    """
    tasks: dict[str, Panels] = defaultdict(lambda: defaultdict(list))
    problems: list[str] = []
    for stored in sorted(records, key=lambda run: run.order):
        shown = {"loss", *stored.record.metrics}
        for metric, points in _series(stored.folder / "progress.jsonl", shown, problems).items():
            steps, values = zip(*thinned(sorted(points.items())), strict=True)
            tasks[stored.record.task.name][metric].append(Curve(stored.backbone, stored.record.seed, steps, values))
    return {task: dict(panels) for task, panels in tasks.items()}, problems


def _series(path: Path, shown: set[str], problems: list[str]) -> dict[str, dict[float, float]]:
    """Points by metric; a step that was repeated after a resume counts once, its later value."""
    series: dict[str, dict[float, float]] = defaultdict(dict)
    wrong = 0
    for line in _lines(path, problems):
        if not (isinstance(line, dict) and _is_number(line.get("step")) and abs(line["step"]) <= _LARGEST):
            wrong += 1
            continue
        values = {metric: line[metric] for metric in line.keys() & shown}
        wrong += not all(map(_is_number, values.values()))
        for metric, value in values.items():
            if _is_number(value) and abs(value) <= _LARGEST:  # A loss that left the numbers is a gap in its curve.
                series[metric][line["step"]] = value
    if wrong:
        problems.append(f"{path}: lines that hold something else than progress: {wrong}")
    return {metric: series[metric] for metric in sorted(series, key=_loss_first) if len(series[metric]) > 1}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _loss_first(metric: str) -> tuple[bool, str]:
    return metric != "loss", metric


def _lines(path: Path, problems: list[str]) -> Iterator[Any]:
    """Yields each line's value, None for one that is no JSON; the last line may have been cut by a kill."""
    try:
        lines = read_regular(path).splitlines() if path.is_file() else []
    except OSError as error:
        problems.append(one_line(error))
        return
    for place, line in enumerate(lines, start=1):
        try:
            yield json.loads(line)
        except (ValueError, RecursionError):
            if place < len(lines):
                yield None


def thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most 401 points, evenly chosen, the last one among them."""
    stride = -(-len(points) // _POINTS)
    kept = points[::stride]
    return kept if kept[-1] == points[-1] else [*kept, points[-1]]
