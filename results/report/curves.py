"""Learning curves from the runs' ``progress.jsonl``."""

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from results.runs import StoredRecord

_POINTS = 400


@dataclass(frozen=True)
class Curve:
    """One metric of one run over its training steps."""

    backbone: str
    seed: int
    steps: tuple[float, ...]
    values: tuple[float, ...]


Panels = dict[str, list[Curve]]
"""Curves that share a panel, by the metric's name."""


def read_curves(records: Iterable[StoredRecord]) -> dict[str, Panels]:
    """The loss and the record's own metrics by task, at most 400 points each, backbones in order of their names."""
    tasks: dict[str, Panels] = defaultdict(lambda: defaultdict(list))
    ordered = sorted(records, key=lambda one: (one.record.task.name, one.record.backbone.name, one.record.seed))
    for stored in ordered:
        shown = ("loss", *stored.record.metrics)
        for metric, points in _series(stored.folder / "progress.jsonl", shown).items():
            steps, values = zip(*_thinned(sorted(points.items())), strict=True)
            curve = Curve(stored.record.backbone.name, stored.record.seed, steps, values)
            tasks[stored.record.task.name][metric].append(curve)
    return {task: dict(panels) for task, panels in tasks.items()}


def _series(path: Path, shown: Iterable[str]) -> dict[str, dict[float, float]]:
    """Points by metric; a step that was repeated after a resume counts once, its later value."""
    series: dict[str, dict[float, float]] = defaultdict(dict)
    for line in _lines(path):
        for metric in line.keys() & set(shown):
            series[metric][line["step"]] = line[metric]
    return {metric: series[metric] for metric in sorted(series, key=_loss_first) if len(series[metric]) > 1}


def _loss_first(metric: str) -> tuple[bool, str]:
    return metric != "loss", metric


def _lines(path: Path) -> Iterable[dict[str, float]]:
    for text in path.read_text().splitlines() if path.is_file() else ():
        try:
            line = json.loads(text)
        except json.JSONDecodeError:
            continue
        if isinstance(line, dict) and "step" in line:
            yield line


def _thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    stride = -(-len(points) // _POINTS)
    kept = points[::stride]
    return kept if kept[-1] == points[-1] else [*kept, points[-1]]
