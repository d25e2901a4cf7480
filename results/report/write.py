"""Writes the report."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from crossmae.files import write_text
from results.board import boards
from results.board import html_parts as board_parts
from results.claims.ledger import ledger
from results.claims.write import html_part as claims_part
from results.classes import ClassTable, class_tables
from results.report.curves import Curve, read_curves
from results.report.figures import colours_of, curve_panel, dot_panels, time_panels
from results.report.pictures import Pictures, read_pictures
from results.report.provenance import CostLine, ProvenanceLine, cost_lines, provenance_lines
from results.report.summary import summarise
from results.runs import Runs, Unfinished
from results.tables.fill import RunIndex
from results.tables.formats import html_part, templates
from results.tables.spec import load_table
from results.tables.table import Table, fill_table

_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
"""Control characters and marks that reorder text, which names of strangers may hold; no template does."""


@dataclass(frozen=True)
class CurveGroup:
    """Learning curves of one task, as data URIs; ``colours`` is the legend."""

    task: str
    panels: tuple[str, ...]
    colours: dict[str, str]


@dataclass(frozen=True)
class DrawnTable:
    """A table, as HTML and drawn; panels are data URIs, ``over_time`` those of accuracy against pretraining time."""

    table: Table
    html: str
    panels: tuple[str, ...]
    over_time: tuple[str, ...]


@dataclass(frozen=True)
class Page:
    """All that the template of the report shows."""

    title: str
    summary: tuple[str, ...]
    tables: tuple[DrawnTable, ...]
    claims: str
    """The ledger of claims; empty if none was run."""
    boards: tuple[str, ...]
    """Backbones ranked, for each task, recipe and data."""
    classes: tuple[ClassTable, ...]
    """Accuracy by class."""
    curves: tuple[CurveGroup, ...]
    pictures: Pictures
    costs: tuple[CostLine, ...]
    provenance: tuple[ProvenanceLine, ...]
    deviations: dict[str, list[str]]
    unfinished: tuple[Unfinished, ...]
    problems: tuple[str, ...]


def write_report(runs: Runs, destination: Path, names: Sequence[str], title: str = "Report") -> Path:
    """Writes ``runs`` as one self-contained HTML file ``destination``, whole or not at all.

    Args:
        names: tables to show, as for ``results.tables.write.write_tables``.
        title: heading of the page.

    Raises:
        UserError: an unknown or wrong table.
    """
    page = _page(runs, names, title)
    text = templates().get_template("report.html.j2").render(page=page)
    # Names of files may hold bytes that are no text.
    write_text(_UNSEEN.sub("", text.encode(errors="replace").decode()), destination)
    return destination


def _page(runs: Runs, names: Sequence[str], title: str) -> Page:
    specs = [load_table(name) for name in names]
    index = RunIndex.of(runs)
    tables = [fill_table(spec, index) for spec in specs]
    # Some tables have the columns of what was run.
    specs = [replace(spec, columns=table.columns) for spec, table in zip(specs, tables, strict=True)]
    pictures = read_pictures(runs.records)
    curves, wrong_curves = read_curves(runs.records)
    classes, wrong_classes = class_tables(runs)
    claims = ledger(runs)
    colours = colours_of(stored.backbone for stored in runs.records)
    order = partial(_place, [column.task for spec in specs for column in spec.columns])
    return Page(
        title=title,
        summary=summarise(runs, specs),
        tables=tuple(_drawn(table, colours) for table in tables),
        claims=claims_part(claims) if claims.was_run else "",
        boards=tuple(board_parts(boards(runs))),
        classes=tuple(classes),
        curves=tuple(_curve_group(task, curves[task], colours) for task in sorted(curves, key=order)),
        pictures=replace(pictures, tasks={task: pictures.tasks[task] for task in sorted(pictures.tasks, key=order)}),
        costs=tuple(cost_lines(runs.records)),
        provenance=tuple(provenance_lines(runs.records)),
        deviations=_deviations(runs),
        unfinished=runs.unfinished,
        problems=(*runs.problems, *wrong_classes, *wrong_curves, *pictures.problems),
    )


def _drawn(table: Table, colours: dict[str, str]) -> DrawnTable:
    return DrawnTable(table, html_part(table), tuple(dot_panels(table, colours)), tuple(time_panels(table, colours)))


def _place(shown: list[str | None], task: str) -> tuple[bool, int, str]:
    """Pretraining first, then the tasks in the order of the tables' columns, then the others by name."""
    return task != "pretrain", shown.index(task) if task in shown else len(shown), task


def _curve_group(task: str, panels: dict[str, list[Curve]], colours: dict[str, str]) -> CurveGroup:
    names = dict.fromkeys(curve.backbone for curves in panels.values() for curve in curves)
    drawn = tuple(curve_panel(metric, curves, colours) for metric, curves in panels.items())
    return CurveGroup(task, drawn, {name: colours[name] for name in names})


def _deviations(runs: Runs) -> dict[str, list[str]]:
    """Each deviation with the tasks it touches."""
    tasks_of: dict[str, set[str]] = {}
    for stored in runs.records:
        for text in stored.record.all_deviations:
            tasks_of.setdefault(text, set()).add(stored.record.task.name)
    return {text: sorted(tasks) for text, tasks in sorted(tasks_of.items())}
