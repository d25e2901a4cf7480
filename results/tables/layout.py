"""A filled table laid out as text cells with notes in one form of markup, ready to be written in that form."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from string import ascii_lowercase
from typing import NamedTuple

from results.tables.fill import Cell, CellState
from results.tables.markup import BLANK, Markup, Number
from results.tables.published import PublishedNumber
from results.tables.spec import TableLine
from results.tables.table import Table, TableEntry, TableRow


@dataclass(frozen=True)
class Grid:
    """Rows of text under a heading; the first column names the rows."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


class Source(NamedTuple):
    """A published table that numbers were taken from."""

    name: str
    link: str
    protocol: str


@dataclass(frozen=True)
class Notes:
    """Marks of a table: letters for deviations, digits for cautions, failures and other remarks.

    Deviations that always occur together share a letter. Cautions about every published number of the table need no
    mark: they are ``general``. The digits from ``reference_from`` on occur only at the numbers that stand apart.
    """

    letters: Mapping[str, str]
    digits: Mapping[str, str]
    reference_from: int
    general: tuple[str, ...]
    sources: tuple[Source, ...]

    def of_cell(self, cell: Cell) -> tuple[str, ...]:
        """Marks of a number of ours."""
        digits = [self.digits[cell.note]] if cell.note else []
        return (*sorted({self.letters[text] for text in cell.deviations}, key=_rank), *digits)

    def of_published(self, number: PublishedNumber) -> tuple[str, ...]:
        """Marks of a published number."""
        return tuple(self.digits[text] for text in number.cautions if text in self.digits)

    def legend(self) -> Iterator[tuple[str, str]]:
        """Each mark of the table's main part with its meaning."""
        texts = defaultdict(list)
        for text, letter in self.letters.items():
            texts[letter].append(text)
        for letter in sorted(texts, key=_rank):
            yield letter, "; ".join(texts[letter])
        yield from ((digit, text) for text, digit in self.digits.items() if int(digit) < self.reference_from)

    def reference_legend(self) -> Iterator[tuple[str, str]]:
        """Each mark that occurs only at the numbers that stand apart."""
        yield from ((digit, text) for text, digit in self.digits.items() if int(digit) >= self.reference_from)


@dataclass(frozen=True)
class Sheet:
    """Everything that stands on the page, from top to bottom; ``reference`` grids hold published numbers only.

    ``name`` is safe as a label and as an address within a page.
    """

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
    notes = _notes(table)
    reference = [_published_row(row, table.columns, notes, markup) for row in table.reference]
    names = tuple(markup.heading(column.name) for column in table.columns if not column.pretraining)
    return Sheet(
        name=re.sub(r"[^\w.-]", "-", table.name),
        title=markup.text(table.title),
        caption=markup.text(table.caption),
        main=_main(table, notes, markup),
        notes=tuple(markup.text(text) for text in (*_how_to_read(table), *notes.general)),
        legend=_escaped(notes.legend(), markup),
        reference_title=markup.text(table.reference_title),
        reference=Grid(("", *names), tuple(reference)) if reference else None,
        reference_legend=_escaped(notes.reference_legend(), markup),
        sources=tuple(f"{markup.link(name, link)} ({markup.text(protocol)})" for name, link, protocol in notes.sources),
    )


def _escaped(legend: Iterator[tuple[str, str]], markup: Markup) -> tuple[tuple[str, str], ...]:
    return tuple((mark, markup.text(text)) for mark, text in legend)


def _main(table: Table, notes: Notes, markup: Markup) -> Grid:
    best = [_best(table, place) for place in range(len(table.columns))]
    rows = []
    for row in table.rows:
        cells = [markup.text(row.name)]
        for column, entry, top, published in zip(table.columns, row.entries, best, table.with_published, strict=True):
            number = Number(column.decimals)
            cells += [_published(entry.published, number, notes, markup)] if published else []
            cells += [_ours(entry, column, top, notes, markup)] if table.has_ours else []
        rows.append(tuple(cells))
    return Grid(tuple(_header(table, markup)), tuple(rows))


def _header(table: Table, markup: Markup) -> Iterator[str]:
    yield ""
    for column, published in zip(table.columns, table.with_published, strict=True):
        if published:
            yield markup.heading(column.name, "published")
        if table.has_ours:
            yield markup.heading(column.name, "ours") if table.has_published else markup.heading(column.name)


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
        if not column.pretraining
    )
    return (markup.text(row.name), *cells)


def _best(table: Table, place: int) -> float | None:
    """The best of our numbers in a column; None where there is nothing to choose between."""
    column = table.columns[place]
    means = [cell.mean for cell in (row.entries[place].ours for row in table.rows) if cell.mean is not None]
    if column.best == "none" or len({Number(column.decimals).plain(mean) for mean in means}) < 2:
        return None
    return min(means) if column.best == "min" else max(means)


def _how_to_read(table: Table) -> Iterator[str]:
    cells = [entry.ours for row in table.rows for entry in row.entries]
    if seeds := sorted({len(cell.values) for cell in cells if cell.state is CellState.DONE}):
        yield _seeds(seeds)
    if any(_best(table, place) is not None for place in range(len(table.columns))):
        yield "The best of our numbers in each column is emphasised."
    if table.has_differences:
        yield "In brackets: ours minus published."


def _seeds(seeds: list[int]) -> str:
    if seeds == [1]:
        return "One seed: no standard error, so differences cannot be told from chance."
    if len(seeds) == 1:
        return f"Mean ± standard error over {seeds[0]} seeds."
    return f"Mean ± standard error over seeds, of which there are {seeds[0]} to {seeds[-1]} per cell."


def _notes(table: Table) -> Notes:
    """The notes that ``table`` needs."""
    main, reference = ([entry for row in rows for entry in row.entries] for rows in (table.rows, table.reference))
    published = [entry.published for entry in (*main, *reference) if entry.published]
    general = _common([number.cautions for number in published])
    first = dict.fromkeys(text for entry in main for text in _remarks(entry, general))
    remarks = dict.fromkeys((*first, *(text for entry in reference for text in _remarks(entry, general))))
    return Notes(
        letters=_letters(entry.ours for entry in main),
        digits={text: str(number) for number, text in enumerate(remarks, start=1)},
        reference_from=len(first) + 1,
        general=general,
        sources=tuple(dict.fromkeys(_source(number) for number in published)),
    )


def _source(number: PublishedNumber) -> Source:
    protocol = ", ".join(f"{key.replace('_', ' ')}: {value}" for key, value in number.protocol.items())
    return Source(f"{number.paper}, {number.table}", number.source, protocol)


def _remarks(entry: TableEntry, general: tuple[str, ...]) -> Iterator[str]:
    if entry.published:
        yield from (text for text in entry.published.cautions if text not in general)
    if entry.ours.note:
        yield entry.ours.note


def _common(cautions: list[tuple[str, ...]]) -> tuple[str, ...]:
    if len(cautions) < 2:
        return ()
    return tuple(text for text in cautions[0] if all(text in others for others in cautions))


def _letters(cells: Iterable[Cell]) -> dict[str, str]:
    places: dict[str, list[int]] = defaultdict(list)
    for place, cell in enumerate(cells):
        for text in cell.deviations if cell.state is not CellState.EMPTY else ():
            places[text].append(place)
    names = _names()
    groups = {group: next(names) for group in dict.fromkeys(tuple(where) for where in places.values())}
    return {text: groups[tuple(where)] for text, where in places.items()}


def _names() -> Iterator[str]:
    yield from ascii_lowercase
    yield from (f"a{number}" for number in count(1))


def _rank(letter: str) -> tuple[int, str]:
    return len(letter), letter
