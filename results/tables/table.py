"""A table filled with numbers, ours and published ones, before it takes any form."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

from results.tables.fill import Cell, RunIndex, State, fill
from results.tables.published import PublishedNumber, find_number, load_published
from results.tables.spec import Line, Reference, TableError, TableSpec, crossing


class Entry(NamedTuple):
    """What stands where a row and a column cross."""

    ours: Cell
    published: PublishedNumber | None

    def difference(self, column: Line) -> float | None:
        """Ours minus published; None where either is missing or the numbers depend on the machine."""
        if self.ours.mean is None or self.published is None or column.machine:
            return None
        return self.ours.mean - self.published.value


@dataclass(frozen=True)
class Row:
    """A row of a filled table."""

    name: str
    entries: tuple[Entry, ...]


@dataclass(frozen=True)
class Table:
    """A filled table. ``reference`` holds published numbers that stand apart from ours."""

    name: str
    title: str
    caption: str
    columns: tuple[Line, ...]
    rows: tuple[Row, ...]
    reference_title: str = ""
    reference: tuple[Row, ...] = ()

    @cached_property
    def has_ours(self) -> bool:
        """Whether any cell could hold a number of ours."""
        return any(entry.ours.state is not State.EMPTY for row in self.rows for entry in row.entries)

    @cached_property
    def has_published(self) -> bool:
        """Whether published numbers stand beside ours."""
        return any(entry.published for row in self.rows for entry in row.entries)


def fill_table(spec: TableSpec, index: RunIndex) -> Table:
    """The table ``spec`` with the numbers of ``index``.

    Raises:
        TableError, PublishedError: the table refers to published numbers that do not exist.
    """
    rows = tuple(_row(spec, row, index) for row in _expanded(spec, index))
    reference = _reference(spec.reference, len(spec.columns)) if spec.reference else ()
    title = spec.reference.title if spec.reference else ""
    return Table(spec.name, spec.title, spec.caption, spec.columns, rows, title, reference)


def _row(spec: TableSpec, row: Line, index: RunIndex) -> Row:
    lines = [crossing(row, column) for column in spec.columns]
    published = [_published(spec.published, row, column) for column in spec.columns]
    return Row(row.name, tuple(Entry(fill(line, index), number) for line, number in zip(lines, published, strict=True)))


def _published(table: str | None, row: Line, column: Line) -> PublishedNumber | None:
    names = [line.name if line.published is None else line.published for line in (row, column)]
    return find_number(table, *names) if table and all(names) else None


def _expanded(spec: TableSpec, index: RunIndex) -> Iterator[Line]:
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


def _matches(row: Line, columns: tuple[Line, ...], index: RunIndex, named: set[str | None]) -> set[str]:
    matches = set()
    for line in (crossing(row, column) for column in columns):
        before, _, after = (line.backbone or "").partition("*")
        for backbone in index.backbones(line.task or "") - named:
            if backbone.startswith(before) and backbone.endswith(after):
                matches.add(backbone[len(before) : len(backbone) - len(after)])
    return matches


def _reference(reference: Reference, width: int) -> tuple[Row, ...]:
    rows = []
    for row in reference.rows:
        if len(row.numbers) != width:
            raise TableError(f"reference row {row.name!r} has {len(row.numbers)} numbers for {width} columns")
        rows.append(Row(row.name, tuple(Entry(Cell(State.EMPTY), _referred(text)) for text in row.numbers)))
    return tuple(rows)


def _referred(text: str | None) -> PublishedNumber | None:
    if text is None:
        return None
    parts = text.split(" / ")
    if len(parts) != 3:
        raise TableError(f"reference {text!r} is not of the form published table / row / column")
    load_published(parts[0])
    return find_number(*parts)
