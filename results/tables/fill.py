"""From records to the cells of a table: which runs belong to a cell, and what they say together."""

import math
import statistics
from collections import defaultdict
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Self

from results.record import Record
from results.runs import Runs, StoredRecord, Unfinished, batch_of, measured_on
from results.tables.spec import TableLine


class CellState(StrEnum):
    """What there is to show in a cell."""

    DONE = "done"
    FAILED = "failed"
    MISSING = "missing"
    EMPTY = "empty"
    """Nothing of ours belongs here."""


@dataclass(frozen=True)
class Cell:
    """Our number in one cell: mean and standard error over seeds, only if every planned seed is done.

    ``values`` holds each seed's metric; ``note`` says in one line why a cell has no number, or what is odd about it.
    """

    state: CellState
    metric: str = ""
    values: tuple[tuple[int, float], ...] = ()
    deviations: tuple[str, ...] = ()
    note: str | None = None
    runs: tuple[StoredRecord, ...] = ()

    @cached_property
    def mean(self) -> float | None:
        """Mean over seeds; None unless the cell is done."""
        return statistics.fmean(value for _, value in self.values) if self.state is CellState.DONE else None

    @cached_property
    def standard_error(self) -> float | None:
        """Sample standard deviation over the square root of the number of seeds; None below two seeds."""
        if self.state is not CellState.DONE or len(self.values) < 2:
            return None
        return statistics.stdev([value for _, value in self.values]) / math.sqrt(len(self.values))


EMPTY = Cell(CellState.EMPTY)


@dataclass(frozen=True)
class RunIndex:
    """Runs by task and backbone."""

    done: dict[tuple[str, str], list[StoredRecord]]
    unfinished: dict[tuple[str, str], list[Unfinished]]

    @classmethod
    def of(cls, runs: Runs) -> Self:
        """Sorts ``runs`` by task and backbone."""
        done = defaultdict(list)
        unfinished = defaultdict(list)
        for stored in runs.records:
            done[stored.record.task.name, stored.record.backbone.name].append(stored)
        for run in runs.unfinished:
            unfinished[run.task, run.backbone].append(run)
        return cls(dict(done), dict(unfinished))

    @cached_property
    def tasks(self) -> set[str]:
        """Every task that was run or tried."""
        return {task for task, _ in (*self.done, *self.unfinished)}

    @cached_property
    def _by_backbone(self) -> dict[str, list[StoredRecord]]:
        runs: dict[str, list[StoredRecord]] = defaultdict(list)
        for (_, backbone), done in self.done.items():
            runs[backbone] += done
        return runs

    @cached_property
    def _names(self) -> set[str]:
        return {backbone for _, backbone in (*self.done, *self.unfinished)}

    def knows(self, backbone: str) -> bool:
        """Whether any task was run, tried or planned on ``backbone``."""
        return backbone in self._names

    def main_metrics(self, task: str) -> list[str]:
        """The first metric of a task, and that of masks where there are some; of one without records, any name."""
        newest = [runs[-1].record.metrics for (name, _), runs in sorted(self.done.items()) if name == task]
        if not newest or not newest[-1]:
            return ["result"]
        return [next(iter(newest[-1])), *(["mask_ap"] if "mask_ap" in newest[-1] else [])]

    def is_planned(self, line: TableLine) -> bool:
        """Whether anybody ran, tried or planned what ``line`` shows, or the pretraining of its backbone."""
        if line.pretraining or not (line.task and line.backbone):
            return True
        places = (line.task, line.backbone), ("pretrain", line.backbone)
        return any(place in self.done or place in self.unfinished for place in places)

    def lineages(self, backbone: str) -> dict[str, object]:
        """The pretraining runs that records on ``backbone`` say it came from, each with its number of updates."""
        refs = [run.record.backbone for run in self._by_backbone.get(backbone, ())]
        return {
            str(ref.lineage["pretraining_run"]): ref.pretraining.get("steps")
            for ref in refs
            if "pretraining_run" in ref.lineage
        }

    def backbones(self, task: str) -> set[str]:
        """Every backbone that ``task`` was run or tried on."""
        return {backbone for name, backbone in (*self.done, *self.unfinished) if name == task}


def fill(line: TableLine, index: RunIndex) -> Cell:
    """The cell that a row and a column choose together (their ``crossing``)."""
    if line.pretraining:
        return _cost(line, index)
    if not (line.task and line.metric and line.backbone):
        return EMPTY
    place = line.task, line.backbone
    done = [stored for stored in index.done.get(place, []) if _chosen(line, stored.record)]
    open_runs = [run for run in index.unfinished.get(place, []) if line.seed in (None, run.seed)]
    runs, note = of_one_protocol(done)
    values = tuple((run.record.seed, float(run.record.metrics[line.metric])) for run in runs)
    deviations = tuple(dict.fromkeys(text for run in runs for text in run.record.all_deviations))
    if open_runs:
        state = CellState.FAILED if any(run.reason for run in open_runs) else CellState.MISSING
        return Cell(state, line.metric, values, deviations, _why_open(open_runs, values), tuple(runs))
    if not runs and any(_asked(line, stored.record) for stored in index.done.get(place, [])):
        return EMPTY  # a metric that is not defined for this backbone
    if not runs:
        return Cell(
            CellState.MISSING, line.metric, note=_why_missing(index.unfinished.get(("pretrain", line.backbone), []))
        )
    if line.machine:
        note = _with_machines(note, runs)
    return Cell(CellState.DONE, line.metric, values, deviations, note, tuple(runs))


def _cost(line: TableLine, index: RunIndex) -> Cell:
    """What the pretraining of ``line.backbone`` took, by the record that its other runs name; empty without one."""
    made = index.lineages(line.backbone or "")
    named = [run for run in index.done.get(("pretrain", line.backbone or ""), []) if run.record.identity in made]
    runs, note = of_one_protocol(named)
    costs = {run.record.seed: _cost_of(run.record, made[run.record.identity], line) for run in runs}
    values = tuple((seed, cost) for seed, cost in costs.items() if cost is not None)
    if not values:
        return EMPTY
    if line.machine:
        note = _with_machines(note, runs)
    return Cell(CellState.DONE, line.pretraining or "", values, (), note, tuple(runs))


def _with_machines(note: str | None, runs: list[StoredRecord]) -> str:
    """What a number that depends on the machine must name: the machine, and how an update was split on it."""
    places = sorted({", ".join(filter(None, [measured_on(run), batch_of(run)])) for run in runs})
    return "; ".join(filter(None, [note, f"measured on {'; '.join(places)}"]))


def _cost_of(pretraining: Record, steps: object, line: TableLine) -> float | None:
    if line.pretraining == "minutes":
        return 60 * pretraining.cost.device_hours
    batch = pretraining.recipe.protocol.get("global_batch")
    return steps * batch / 1e6 if isinstance(steps, int) and isinstance(batch, int) else None


def _chosen(line: TableLine, record: Record) -> bool:
    return line.metric in record.metrics and _asked(line, record)


def _asked(line: TableLine, record: Record) -> bool:
    return line.seed in (None, record.seed) and line.recipe in (None, record.recipe.name)


def of_one_protocol(done: list[StoredRecord]) -> tuple[list[StoredRecord], str | None]:
    """Runs of different protocols or data are never averaged: the one that finished last counts, and a note says so."""
    groups: dict[str, list[StoredRecord]] = defaultdict(list)
    for stored in sorted(done, key=lambda run: run.record.provenance.finished):
        groups[_protocol(stored.record)].append(stored)
    if not groups:
        return [], None
    newest = max(groups.values(), key=lambda group: group[-1].record.provenance.finished)
    note = f"newest of {len(groups)} protocols found for this cell" if len(groups) > 1 else None
    return sorted(newest, key=lambda run: run.record.seed), note


def _protocol(record: Record) -> str:
    lineage = {key: value for key, value in record.backbone.lineage.items() if key not in ("seed", "pretraining_run")}
    return f"{record.task.version} {record.recipe.hash} {record.data} {sorted(lineage.items())}"


def _why_open(runs: list[Unfinished], values: tuple[tuple[int, float], ...]) -> str:
    reasons = [f"seed {run.seed}: {run.reason or 'not finished'}" for run in sorted(runs, key=lambda run: run.seed)]
    done = [f"seed {seed}: {value:.2f}" for seed, value in values]
    return "; ".join(reasons + (["done, but not averaged: " + ", ".join(done)] if done else []))


def _why_missing(pretraining: list[Unfinished]) -> str | None:
    """A backbone that could not be pretrained leaves nothing but its own failure."""
    reasons = [f"seed {run.seed}: {run.reason}" for run in pretraining if run.reason]
    return f"its pretraining failed: {'; '.join(reasons)}" if reasons else None
