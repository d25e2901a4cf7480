"""The notes under a table: what its marks mean."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from string import ascii_lowercase
from typing import NamedTuple

from results.tables.fill import Cell, CellState
from results.tables.published import PublishedNumber
from results.tables.table import Table, TableEntry


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


def take_notes(table: Table) -> Notes:
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
