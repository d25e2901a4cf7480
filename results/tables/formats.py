"""A laid-out table written as terminal text, Markdown, CSV, LaTeX and HTML."""

import csv
import io
import textwrap
from collections.abc import Iterable, Iterator
from functools import cache

from jinja2 import Environment, PackageLoader
from tabulate import tabulate

from crossmae.errors import printable
from results.tables.fill import CellState
from results.tables.layout import Grid, lay_out
from results.tables.markup import Html, Latex, Markdown, Markup, UnmarkedMarkdown
from results.tables.spec import TableLine
from results.tables.table import Table, TableEntry

_WIDTH = 110


def terminal(table: Table) -> str:
    """Plain text for the terminal."""
    sheet = lay_out(table, Markup())
    lines = [
        sheet.title,
        textwrap.fill(sheet.caption, _WIDTH, break_on_hyphens=False),
        "",
        _grid(sheet.main, "simple"),
        "",
    ]
    lines += _wrapped(*sheet.notes, *_bracketed(sheet.legend))
    if sheet.reference:
        lines += ["", sheet.reference_title, _grid(sheet.reference, "simple"), ""]
    lines += _wrapped(*_bracketed(sheet.reference_legend), *(f"Published: {source}" for source in sheet.sources))
    return _joined(lines)


def markdown(table: Table) -> str:
    """GitHub's Markdown."""
    sheet = lay_out(table, Markdown())
    lines = [f"### {sheet.title}", "", sheet.caption, "", _grid(sheet.main, "pipe"), ""]
    lines += [f"- {note}" for note in sheet.notes]
    lines += [f"- <sup>{mark}</sup> {text}" for mark, text in sheet.legend]
    if sheet.reference:
        lines += ["", f"**{sheet.reference_title}**", "", _grid(sheet.reference, "pipe"), ""]
    lines += [f"- <sup>{mark}</sup> {text}" for mark, text in sheet.reference_legend]
    lines += [f"- Published: {source}" for source in sheet.sources]
    return _joined(lines)


def short_markdown(table: Table) -> str:
    """The numbers of ours alone, in GitHub's Markdown, without notes: for a page that says what they are."""
    return _joined([_grid(lay_out(table, UnmarkedMarkdown()).main, "pipe")])


def latex(table: Table) -> str:
    """A LaTeX table that needs the packages adjustbox, booktabs, makecell and hyperref; wide ones are shrunk to fit."""
    return templates().get_template("table.tex.j2").render(sheet=lay_out(table, Latex()))


def html(table: Table) -> str:
    """A whole HTML page."""
    return templates().get_template("table_page.html.j2").render(sheet=lay_out(table, Html()))


def html_part(table: Table) -> str:
    """The table as a part of an HTML page."""
    return templates().get_template("table.html.j2").render(sheet=lay_out(table, Html()))


def comma_separated(table: Table) -> str:
    """Plain numbers, one line per row and column: for programs, not for eyes."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(
        ["row", "column", "status", "mean", "standard_error", "seeds", "published", "difference", "deviations", "note"]
    )
    for row in (*table.rows, *table.reference):
        for column, entry in zip(table.columns, row.entries, strict=True):
            if entry.published or entry.ours.state is not CellState.EMPTY:
                writer.writerow([spreadsheet_safe(value) for value in (row.name, column.name, *_plain(entry, column))])
    return file.getvalue()


def spreadsheet_safe(value: object) -> object:
    """Numbers as they are; a text that a spreadsheet would take for a formula begins with an apostrophe."""
    if not isinstance(value, str):
        return value
    return f"'{printable(value)}" if value.startswith(("=", "+", "-", "@", "\t", "\r")) else printable(value)


def _plain(entry: TableEntry, column: TableLine) -> Iterator[object]:
    cell, published = entry.ours, entry.published
    yield "published" if cell.state is CellState.EMPTY else cell.state
    yield cell.mean
    yield cell.standard_error
    yield " ".join(str(seed) for seed, _ in cell.values)
    yield published.value if published else None
    yield entry.difference(column)
    yield "; ".join(cell.deviations)
    yield "; ".join(filter(None, [cell.note, *(published.cautions if published else ())]))


def _grid(grid: Grid, form: str) -> str:
    align = ("left", *["right"] * (len(grid.header) - 1))
    return tabulate(grid.rows, grid.header, tablefmt=form, colalign=align, disable_numparse=True)


def _bracketed(legend: Iterable[tuple[str, str]]) -> Iterator[str]:
    return (f"[{mark}] {text}" for mark, text in legend)


def _wrapped(*texts: str) -> list[str]:
    wrapper = textwrap.TextWrapper(_WIDTH, subsequent_indent="    ", break_on_hyphens=False)
    return [line for text in texts for line in wrapper.wrap(text)]


def _joined(lines: list[str]) -> str:
    text = "\n".join(line.rstrip() for block in lines for line in block.split("\n"))
    while "\n\n\n" in text:
        text = text.replace("\n\n\n", "\n\n")
    return text.strip() + "\n"


@cache
def templates() -> Environment:
    """The package's templates."""
    # Table cells are escaped when they are laid out, each in its own form; the report's template escapes with |e.
    return Environment(loader=PackageLoader("results", "templates"), trim_blocks=True, lstrip_blocks=True)
