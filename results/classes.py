"""Results by class, of tasks whose runs leave ``classes.csv``: for the report, and as one CSV file."""

import csv
import io
import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from crossmae.errors import one_line
from crossmae.files import read_regular, write_text
from results.record import RecordError
from results.runs import Runs, StoredRecord
from results.tables.fill import of_one_protocol
from results.tables.formats import spreadsheet_safe

_MOST_BYTES = 2**24
METRICS = {
    "top1": "top-1 accuracy",
    "ap": "average precision",
    "box_ap": "box AP",
    "mask_ap": "mask AP",
    "iou": "IoU",
}
"""What is measured by class, all in percent."""
_Classes = dict[str, tuple[int, float]]
"""Images and result in percent, by class."""
_Protocol = tuple[str, int, str, str | None]
"""Task, its version, recipe and data: what numbers must have in common to be averaged or compared."""
_FIELDS = ("task", "recipe", "data", "metric", "class", "images", "backbone", "seeds", "percent")


@dataclass(frozen=True)
class ClassRow:
    """A class of the validation images; ``means`` are percentages over seeds, None where a backbone has no such run."""

    name: str
    images: int
    means: tuple[float | None, ...]


@dataclass(frozen=True)
class ClassTable:
    """One of ``METRICS`` under one protocol, the lowest first; ``seeds`` counts the runs of each of ``backbones``."""

    task: str
    recipe: str
    data: str | None
    metric: str
    backbones: tuple[str, ...]
    seeds: tuple[int, ...]
    rows: tuple[ClassRow, ...]

    @property
    def title(self) -> str:
        """What the numbers are."""
        return METRICS[self.metric]


def class_tables(runs: Runs) -> tuple[list[ClassTable], list[str]]:
    """A table for each task, recipe, data and metric by class, and a line for each file that is of no use.

    Of backbones of one name but other weights the one counts that was measured last, as in every table.
    """
    problems: list[str] = []
    groups: dict[_Protocol, dict[str, list[StoredRecord]]] = defaultdict(lambda: defaultdict(list))
    for stored in sorted(runs.records, key=lambda run: run.order):
        record = stored.record
        recipe = f"{record.recipe.name} ({record.recipe.hash[:8]})"
        groups[record.task.name, record.task.version, recipe, record.data][stored.backbone].append(stored)
    tables = []
    for (task, _, recipe, data), by_backbone in sorted(groups.items(), key=str):
        read = {name: _read(of_one_protocol(stored)[0], problems) for name, stored in by_backbone.items()}
        for metric in METRICS:
            values = {name: [run[metric] for run in of_runs if metric in run] for name, of_runs in read.items()}
            if found := {name: classes for name, classes in values.items() if classes}:
                tables.append(_table(task, recipe, data, metric, found))
    return tables, problems


def write_classes(runs: Runs, destination: Path) -> None:
    """Writes ``destination/classes.csv``, a line for each task, class and backbone; nothing if no run has classes."""
    tables, _ = class_tables(runs)
    if not tables:
        return
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(_FIELDS)
    for table in tables:
        for row in table.rows:
            for backbone, seeds, mean in zip(table.backbones, table.seeds, row.means, strict=True):
                number = "" if mean is None else round(mean, 2)
                values = (table.task, table.recipe, table.data or "", table.metric, row.name, row.images, backbone)
                writer.writerow([spreadsheet_safe(value) for value in (*values, seeds, number)])
    write_text(file.getvalue(), destination / "classes.csv")


def _read(stored: Iterable[StoredRecord], problems: list[str]) -> list[dict[str, _Classes]]:
    return [classes for run in stored if (classes := _classes_of(run, problems))]


def _table(task: str, recipe: str, data: str | None, metric: str, by_backbone: dict[str, list[_Classes]]) -> ClassTable:
    images = {name: count for runs in by_backbone.values() for run in runs for name, (count, _) in run.items()}
    rows = [ClassRow(name, count, tuple(_means(name, by_backbone.values()))) for name, count in images.items()]
    rows.sort(key=lambda row: (statistics.fmean(mean for mean in row.means if mean is not None), row.name))
    seeds = tuple(map(len, by_backbone.values()))
    return ClassTable(task, recipe, data, metric, tuple(by_backbone), seeds, tuple(rows))


def _means(name: str, backbones: Iterable[list[_Classes]]) -> Iterator[float | None]:
    for runs in backbones:
        values = [run[name][1] for run in runs if name in run]
        yield statistics.fmean(values) if values else None


def _classes_of(stored: StoredRecord, problems: list[str]) -> dict[str, _Classes]:
    """What ``classes.csv`` of a run holds, by metric; nothing for a run that left none."""
    try:
        path = stored.artifact("classes")
        if path is None:
            return {}
        rows = list(csv.DictReader(io.StringIO(read_regular(path, _MOST_BYTES).decode())))
        metrics = [name for name in METRICS if rows and name in rows[0]]
        if rows and not metrics:
            raise ValueError(f"it has no column {', '.join(METRICS)}")
        of_metrics = {name: {row["class"]: (int(row["images"]), float(row[name])) for row in rows} for name in metrics}
        values = [value for classes in of_metrics.values() for _, value in classes.values()]
        if not all(0 <= value <= 100 and math.isfinite(value) for value in values):
            raise ValueError("a result is no percentage")
    except (RecordError, OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        problems.append(f"{stored.folder}: classes.csv cannot be used ({one_line(error, 120)})")
        return {}
    return of_metrics
