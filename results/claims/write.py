"""The ledger written for people, in the terminal, as Markdown and as HTML, and as CSV for programs."""

import csv
import io
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

from tabulate import tabulate

from crossmae.files import write_text
from results.claims.ledger import HEADER, Ledger, LedgerLine, formula_of, ledger
from results.claims.verdict import judge_published, published_difference
from results.runs import Runs
from results.tables.formats import spreadsheet_safe, templates
from results.tables.markup import Html, Markdown, Markup

_WIDTH = 112
_WIDTHS = (8, 36, 13, 24, 26)
_FIELDS = ("table", "claim", "sentence", "test", "scale", "verdict", "difference", "low", "high", "seeds", "note")
_PUBLISHED_FIELDS = ("published_difference", "published_noise", "deviations")


def terminal(shown: Ledger) -> str:
    """Plain text for the terminal."""
    rows = _escaped(shown, Markup().text)
    grid = tabulate(rows, HEADER, tablefmt="simple", disable_numparse=True, maxcolwidths=list(_WIDTHS))
    notes = [textwrap.fill(Markup().text(note), _WIDTH, subsequent_indent="    ") for note in shown.notes()]
    return "\n".join([textwrap.fill(shown.summary(), _WIDTH), "", grid, "", *notes])


def markdown(shown: Ledger) -> str:
    """GitHub's Markdown."""
    grid = tabulate(_escaped(shown, Markdown().text), HEADER, tablefmt="pipe", disable_numparse=True)
    notes = [f"- {Markdown().text(note)}" for note in shown.notes()]
    return "\n".join(["### The paper's claims", "", shown.summary(), "", grid, "", *notes]) + "\n"


def html_part(shown: Ledger) -> str:
    """A part of an HTML page."""
    escape = Html().text
    rows, notes = _escaped(shown, escape), [escape(note) for note in shown.notes()]
    template = templates().get_template("lines.html.j2")
    return template.render(summary=escape(shown.summary()), header=HEADER, rows=rows, notes=notes)


def comma_separated(shown: Ledger) -> str:
    """Plain numbers, one line per claim and scale: for programs, not for eyes."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow((*_FIELDS, *_PUBLISHED_FIELDS))
    for line in shown.lines:
        writer.writerow([spreadsheet_safe(value) for value in _plain(line)])
    return file.getvalue()


def write_ledger(runs: Runs, destination: Path, everything: bool = False) -> str:
    """Writes ``destination/claims.{md,csv}``, unless no claim was run at any scale and not ``everything`` is wanted.

    Returns:
        A line for the terminal; an empty one if nothing was written.
    """
    shown = ledger(runs)
    if not (shown.was_run or everything):
        return ""
    write_text(markdown(shown), destination / "claims.md")
    write_text(comma_separated(shown), destination / "claims.csv")
    return f"{shown.summary()} Each one: {destination / 'claims.md'}"


def _escaped(shown: Ledger, escape: Callable[[str], str]) -> list[list[str]]:
    return [[escape(text) for text in line.cells()] for line in shown.lines]


def _plain(line: LedgerLine) -> Iterator[object]:
    claim, interval = line.claim, line.ours.interval
    yield from (claim.table, claim.name, claim.sentence, formula_of(claim), line.scale.name if line.scale else "")
    yield line.ours.verdict
    yield from (interval.mean, interval.low, interval.high, interval.count) if interval else (None, None, None, 0)
    yield line.ours.note
    yield published_difference(claim)
    yield "; ".join(
        f"{one.noise.title}: {one.low:.3f} to {one.high:.3f}, {one.verdict}" for one in judge_published(claim)
    )
    yield "; ".join(line.ours.deviations)
