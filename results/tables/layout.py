"""A filled table laid out as text cells in one form of markup, ready to be written in that form."""

from collections.abc import Iterator
from dataclasses import dataclass

from results.tables.fill import CellState
from results.tables.markup import BLANK, Markup, Number
from results.tables.notes import Notes, take_notes
from results.tables.published import PublishedNumber
from results.tables.spec import TableLine
from results.tables.table import Table, TableEntry, TableRow


@dataclass(frozen=True)
class Grid:
    """Rows of text under a heading; the first column names the rows."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Sheet:
    """Everything that stands on the page, from top to bottom; ``reference`` grids hold published numbers only."""

    name: str
    title: str
    caption: str
    main: Grid
    notes: tuple[str, ...]
    legend: tuple[tuple[str, str], ...]
    reference_title: str
    reference: Grid | None
    reference_legend: tuple[tuple[str, str], ...]
    sources: tuple[str, ...]


def lay_out(table: Table, markup: Markup) -> Sheet:
    """``table`` as text in the form that ``markup`` writes."""
    notes = take_notes(table)
    reference = [_published_row(row, table.columns, notes, markup) for row in table.reference]
    names = tuple(markup.heading(column.name) for column in table.columns)
    return Sheet(
        name=table.name,
        title=markup.text(table.title),
        caption=markup.text(table.caption),
        main=_main(table, notes, markup),
        notes=tuple(markup.text(text) for text in (*_how_to_read(table), *notes.general)),
        legend=_escaped(notes.legend(), markup),
        reference_title=markup.text(table.reference_title),
        reference=Grid(("", *names), tuple(reference)) if reference else None,
        reference_legend=_escaped(notes.reference_legend(), markup),
        sources=tuple(f"{markup.link(one.name, one.link)} ({markup.text(one.protocol)})" for one in notes.sources),
    )


def _escaped(legend: Iterator[tuple[str, str]], markup: Markup) -> tuple[tuple[str, str], ...]:
    return tuple((mark, markup.text(text)) for mark, text in legend)


def _main(table: Table, notes: Notes, markup: Markup) -> Grid:
    best = [_best(table, place) for place in range(len(table.columns))]
    rows = []
    for row in table.rows:
        cells = [markup.text(row.name)]
        for column, entry, top in zip(table.columns, row.entries, best, strict=True):
            cells += _entry(table, entry, column, top, notes, markup)
        rows.append(tuple(cells))
    return Grid(tuple(_header(table, markup)), tuple(rows))


def _header(table: Table, markup: Markup) -> Iterator[str]:
    yield ""
    for column in table.columns:
        if table.has_published:
            yield markup.heading(column.name, "published")
        if table.has_ours:
            yield markup.heading(column.name, "ours") if table.has_published else markup.heading(column.name)


def _entry(
    table: Table, entry: TableEntry, column: TableLine, best: float | None, notes: Notes, markup: Markup
) -> Iterator[str]:
    number = Number(column.decimals)
    if table.has_published:
        yield _published(entry.published, number, notes, markup)
    if table.has_ours:
        yield _ours(entry, column, best, notes, markup)


def _ours(entry: TableEntry, column: TableLine, best: float | None, notes: Notes, markup: Markup) -> str:
    cell, number = entry.ours, Number(column.decimals)
    if cell.state is CellState.EMPTY:
        return markup.text(BLANK)
    marks = markup.marks(notes.of_cell(cell))
    if cell.mean is None:
        return f"{cell.state}{marks}"
    text = number.plain(cell.mean)
    if cell.standard_error is not None:
        text += f" ± {Number(max(number.decimals, 1)).plain(cell.standard_error)}"
    if (difference := entry.difference(column)) is not None:
        text += f" ({number.signed(difference)})"
    return (markup.best(markup.text(text)) if cell.mean == best else markup.text(text)) + marks


def _published(published: PublishedNumber | None, number: Number, notes: Notes, markup: Markup) -> str:
    if published is None:
        return markup.text(BLANK)
    return markup.text(number.plain(published.value)) + markup.marks(notes.of_published(published))


def _published_row(row: TableRow, columns: tuple[TableLine, ...], notes: Notes, markup: Markup) -> tuple[str, ...]:
    cells = (
        _published(entry.published, Number(column.decimals), notes, markup)
        for entry, column in zip(row.entries, columns, strict=True)
    )
    return (markup.text(row.name), *cells)


def _best(table: Table, place: int) -> float | None:
    """The best of our numbers in a column; None where there is nothing to choose between."""
    means = [cell.mean for cell in (row.entries[place].ours for row in table.rows) if cell.mean is not None]
    if len(means) < 2 or table.columns[place].best == "none":
        return None
    return min(means) if table.columns[place].best == "min" else max(means)


def _how_to_read(table: Table) -> Iterator[str]:
    cells = [entry.ours for row in table.rows for entry in row.entries]
    if seeds := sorted({len(cell.values) for cell in cells if cell.state is CellState.DONE}):
        yield _seeds(seeds)
    if any(_best(table, place) is not None for place in range(len(table.columns))):
        yield "The best of our numbers in each column is emphasised."
    if any(_differences(table)):
        yield "In brackets: ours minus published."


def _differences(table: Table) -> Iterator[bool]:
    for row in table.rows:
        for column, entry in zip(table.columns, row.entries, strict=True):
            yield entry.difference(column) is not None


def _seeds(seeds: list[int]) -> str:
    if seeds == [1]:
        return "One seed: no standard error, so differences cannot be told from chance."
    if len(seeds) == 1:
        return f"Mean ± standard error over {seeds[0]} seeds."
    return f"Mean ± standard error over seeds, of which there are {seeds[0]} to {seeds[-1]} per cell."
