"""Published numbers: ``published/*.yaml``, each number with its paper, table, source, protocol and cautions."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from crossmae.errors import UserError
from crossmae.parsing import Strict, parse, read_yaml

FOLDER = Path(__file__).parents[1] / "data" / "published"


@dataclass(frozen=True)
class CellCaution(Strict):
    """A caution about one number of a table."""

    row: str
    column: str
    text: str


@dataclass(frozen=True)
class PublishedTable(Strict):
    """One table of one paper, as in its YAML file. ``None`` stands where the paper gives no number."""

    paper: str
    table: str
    title: str
    source: str
    columns: tuple[str, ...]
    rows: dict[str, tuple[int | float | None, ...]]
    protocol: dict[str, Any]
    cautions: tuple[str, ...] = ()
    row_cautions: dict[str, str] = field(default_factory=dict)
    column_cautions: dict[str, str] = field(default_factory=dict)
    cell_cautions: tuple[CellCaution, ...] = ()


@dataclass(frozen=True)
class PublishedNumber:
    """One published number with all that must be shown with it."""

    value: float
    row: str
    column: str
    paper: str
    table: str
    source: str
    protocol: dict[str, Any]
    cautions: tuple[str, ...]


@cache
def load_published(name: str) -> PublishedTable:
    """The published table ``name``, such as ``crossmae_table1``.

    Raises:
        UserError: there is no such table, or its file is wrong.
    """
    path = FOLDER / f"{name}.yaml"
    if not path.is_file():
        raise UserError(f"no published table {name!r}", f"known: {', '.join(published_names())}")
    table = parse(PublishedTable, read_yaml(path), str(path))
    if problem := next(_inconsistencies(table), None):
        raise UserError(f"{path}: {problem}")
    return table


def published_names() -> list[str]:
    """All published tables."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def find_number(name: str, row: str, column: str) -> PublishedNumber | None:
    """A number of the published table ``name``; None where the paper gives none.

    Raises:
        UserError: the table has no such row or column.
    """
    table = load_published(name)
    if row not in table.rows or column not in table.columns:
        raise UserError(f"published table {name!r} has no number in row {row!r}, column {column!r}")
    value = table.rows[row][table.columns.index(column)]
    if value is None:
        return None
    cautions = tuple(_cautions(table, row, column))
    return PublishedNumber(value, row, column, table.paper, table.table, table.source, table.protocol, cautions)


def all_numbers(name: str) -> Iterator[PublishedNumber]:
    """Every number of the published table ``name``, row by row."""
    table = load_published(name)
    for row in table.rows:
        for column in table.columns:
            if number := find_number(name, row, column):
                yield number


def _cautions(table: PublishedTable, row: str, column: str) -> Iterator[str]:
    yield from table.cautions
    if row in table.row_cautions:
        yield table.row_cautions[row]
    if column in table.column_cautions:
        yield table.column_cautions[column]
    yield from (caution.text for caution in table.cell_cautions if (caution.row, caution.column) == (row, column))


def _inconsistencies(table: PublishedTable) -> Iterator[str]:
    if not table.source.startswith("https://"):
        yield f"source {table.source!r} is not a link"
    for row, values in table.rows.items():
        if len(values) != len(table.columns):
            yield f"row {row!r} has {len(values)} numbers for {len(table.columns)} columns"
    cells = [(caution.row, caution.column) for caution in table.cell_cautions]
    for row in {*table.row_cautions, *(row for row, _ in cells)} - set(table.rows):
        yield f"a caution about an unknown row {row!r}"
    for column in {*table.column_cautions, *(column for _, column in cells)} - set(table.columns):
        yield f"a caution about an unknown column {column!r}"
