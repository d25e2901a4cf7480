"""A table filled with numbers, ours and published ones, before it takes any form."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import NamedTuple

from crossmae.errors import UserError
from results.tables.fill import Cell, CellState, RunIndex, fill
from results.tables.published import PublishedNumber, find_number, load_published
from results.tables.scales import Scale, load_scales
from results.tables.spec import (
    Reference,
    TableLine,
    TableSpec,
    crossing,
    load_table,
    lower_is_better,
    table_names,
)


class TableEntry(NamedTuple):
    """What stands where a row and a column cross."""

    ours: Cell
    published: PublishedNumber | None
    scale: Scale | None = None
    """Whose backbone stands in for the paper's; None where it is the one that the row names."""

    def difference(self, column: TableLine) -> float | None:
        """Ours minus published; None where either is missing, the machine matters, or another scale stands in."""
        if self.ours.mean is None or self.published is None or column.machine or self.scale:
            return None
        return self.ours.mean - self.published.value


@dataclass(frozen=True)
class TableRow:
    """A row of a filled table."""

    name: str
    entries: tuple[TableEntry, ...]


@dataclass(frozen=True)
class Table:
    """A filled table. ``reference`` holds published numbers that stand apart from ours."""

    name: str
    title: str
    caption: str
    columns: tuple[TableLine, ...]
    rows: tuple[TableRow, ...]
    reference_title: str = ""
    reference: tuple[TableRow, ...] = ()

    @cached_property
    def has_ours(self) -> bool:
        """Whether any cell could hold a number of ours."""
        return any(entry.ours.state is not CellState.EMPTY for row in self.rows for entry in row.entries)

    @cached_property
    def has_results(self) -> bool:
        """Whether a run filled one of the cells; what pretraining took is no result by itself."""
        pairs = [(entry, column) for row in self.rows for entry, column in zip(row.entries, self.columns, strict=True)]
        return any(entry.ours.runs for entry, column in pairs if not column.pretraining)

    @cached_property
    def has_published(self) -> bool:
        """Whether published numbers stand next to ours."""
        return any(entry.published for row in self.rows for entry in row.entries)

    @cached_property
    def with_published(self) -> tuple[bool, ...]:
        """For each column, whether published numbers stand in it."""
        return tuple(any(row.entries[place].published for row in self.rows) for place in range(len(self.columns)))

    @cached_property
    def has_differences(self) -> bool:
        """Whether a number of ours is set against a published one."""
        pairs = ((entry, column) for row in self.rows for entry, column in zip(row.entries, self.columns, strict=True))
        return any(entry.difference(column) is not None for entry, column in pairs)


def fill_table(spec: TableSpec, index: RunIndex) -> Table:
    """The table ``spec`` with the numbers of ``index``.

    Raises:
        UserError: the table refers to published numbers that do not exist.
    """
    spec = _adapted(spec, index) if spec.adapts else spec
    rows = tuple(_row(spec, row, index) for row in _expanded(spec, index))
    reference = _reference(spec.reference, spec.columns) if spec.reference else ()
    title = spec.reference.title if spec.reference else ""
    scales = {entry.scale.name: entry.scale for row in rows for entry in row.entries if entry.scale}
    stand_ins = [f"Our numbers: {scale.title}. {scale.remark}".rstrip() for scale in scales.values()]
    caption = " ".join(filter(None, [spec.caption, *stand_ins]))
    return Table(spec.name, spec.title, caption, spec.columns, rows, title, reference)


def _adapted(spec: TableSpec, index: RunIndex) -> TableSpec:
    """``spec`` with columns for what was run; as it is, if nothing was."""
    columns = [column for column in spec.columns if column.task in index.tasks]
    costs = [column for column in spec.columns if column.pretraining and ("pretrain" in index.tasks)]
    for task in sorted(index.tasks - _built_in_tasks()) if spec.own_tasks else ():
        for metric in index.main_metrics(task):
            best = "min" if lower_is_better(metric) else "max"
            columns.append(TableLine(name=f"{task} {metric}", task=task, metric=metric, best=best))
    return replace(spec, columns=(*columns, *costs) if columns else spec.columns)


@cache
def _built_in_tasks() -> frozenset[str]:
    """Tasks that some built-in table shows; pretraining is shown by what its backbones reach."""
    lines = (line for name in table_names() for line in load_table(name).columns)
    return frozenset({"pretrain", *(line.task for line in lines if line.task)})


def _row(spec: TableSpec, row: TableLine, index: RunIndex) -> TableRow:
    return TableRow(row.name, tuple(_entry(spec, row, column, index) for column in spec.columns))


def _entry(spec: TableSpec, row: TableLine, column: TableLine, index: RunIndex) -> TableEntry:
    line, published = crossing(row, column), _published(spec.published, row, column)
    if line.backbone is not None and not index.knows(line.backbone):
        for scale in load_scales().values():
            stand_in = scale.stand_in(line.backbone)
            if stand_in and index.knows(stand_in):
                return TableEntry(fill(replace(line, backbone=stand_in), index), published, scale)
    if spec.adapts and not index.is_planned(line):
        return TableEntry(Cell(CellState.EMPTY), published)
    return TableEntry(fill(line, index), published)


def _published(table: str | None, row: TableLine, column: TableLine) -> PublishedNumber | None:
    names = [line.name if line.published is None else line.published for line in (row, column)]
    return find_number(table, *names) if table and all(names) else None


def _expanded(spec: TableSpec, index: RunIndex) -> Iterator[TableLine]:
    """The rows, a row with ``*`` replaced by one per backbone that no other row names."""
    fixed = [row for row in spec.rows if "*" not in (row.backbone or "")]
    named = {crossing(row, column).backbone for row in fixed for column in spec.columns}
    for row in spec.rows:
        if row in fixed:
            yield row
            continue
        for match in sorted(_matches(row, spec.columns, index, named)):
            backbone = (row.backbone or "").replace("*", match)
            yield replace(row, name=row.name or match, backbone=backbone, published="")


def _matches(row: TableLine, columns: tuple[TableLine, ...], index: RunIndex, named: set[str | None]) -> set[str]:
    matches = set()
    for line in (crossing(row, column) for column in columns):
        before, _, after = (line.backbone or "").partition("*")
        for backbone in index.backbones(line.task or "") - named:
            if backbone.startswith(before) and backbone.endswith(after):
                matches.add(backbone[len(before) : len(backbone) - len(after)])
    return matches


def _reference(reference: Reference, columns: tuple[TableLine, ...]) -> tuple[TableRow, ...]:
    rows = []
    width = sum(1 for column in columns if not column.pretraining)
    empty = Cell(CellState.EMPTY)
    unknown = [TableEntry(empty, None)] * (len(columns) - width)
    for row in reference.rows:
        if len(row.numbers) != width:
            raise UserError(f"reference row {row.name!r} has {len(row.numbers)} numbers for {width} columns")
        rows.append(TableRow(row.name, (*(TableEntry(empty, _referred(text)) for text in row.numbers), *unknown)))
    return tuple(rows)


def _referred(text: str | None) -> PublishedNumber | None:
    if text is None:
        return None
    parts = text.split(" / ")
    if len(parts) != 3:
        raise UserError(f"reference {text!r} is not of the form published table / row / column")
    load_published(parts[0])
    return find_number(*parts)
