"""The page of what came out, and the README's block, written from kept records."""

import base64
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tabulate import tabulate

from crossmae.errors import UserError
from crossmae.files import write_bytes, write_text
from results.claims.ledger import ledger
from results.claims.write import markdown as claims_markdown
from results.compare import Comparison, ComparisonVerdict, in_common
from results.report.figures import colours_of, time_panels
from results.report.summary import summarise
from results.reproduction.conditions import HEADER, pretrainings, sentence
from results.reproduction.records import kept
from results.runs import Runs
from results.tables.formats import markdown as table_markdown
from results.tables.formats import short_markdown, templates
from results.tables.markup import Markdown
from results.tables.spec import load_table
from results.tables.table import Table
from results.tables.write import fill_tables, tables_with_results

SUITES = ("demo", "mini")
_PAIRS = {
    "demo": (("crossmae", "mae", "at equal updates"), ("crossmae_equal_time", "mae", "in equal time")),
    "mini": (
        ("crossmae75_mini", "mae_mini", "at equal updates"),
        ("crossmae25_equal_time_mini", "mae_mini", "in equal time"),
    ),
}
"""CrossMAE and MAE by the names that each suite gives them."""
_DRAWN = {"demo": "demo", "mini": "equal_time"}
"""Each suite's table of accuracies and pretraining times."""
_BLOCK = re.compile(r"(<!-- demo: .*?-->\n).*?(<!-- end of demo -->)", re.DOTALL)


@dataclass(frozen=True)
class Part:
    """What the page says of one suite; ``pictures`` are paths from the page."""

    suite: str
    run: bool
    summary: str = ""
    conditions: str = ""
    pretrainings: str = ""
    contrasts: str = ""
    leads: tuple[str, ...] = ()
    pictures: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    claims: str = ""


def write_page(folder: Path, page: Path, readme: Path) -> None:
    """Writes ``page``, its pictures into ``folder``, and the demo's block of ``readme`` from the records in ``folder``.

    Raises:
        UserError: a record that cannot be read, or a README without the two comments around its block.
    """
    for name, picture in pictures(folder).items():
        write_bytes(picture, folder / name)
    write_text(page_text(folder), page)
    write_text(with_block(readme.read_text(), folder), readme)


def page_text(folder: Path) -> str:
    """The page, in GitHub's Markdown, of the records that ``keep`` left in ``folder``."""
    text = templates().get_template("reproduction.md.j2").render(parts=[_part(folder, suite) for suite in SUITES])
    return re.sub(r"\n{3,}", "\n\n", text).rstrip() + "\n"


def pictures(folder: Path) -> dict[str, bytes]:
    """Accuracy over pretraining time, an SVG for each column of each suite's table, by file name."""
    return {name: svg for suite in SUITES for name, svg in _pictures(suite, kept(folder, suite)).items()}


def with_block(readme: str, folder: Path) -> str:
    """``readme`` with the demo's table and differences between its two comments.

    Raises:
        UserError: there are no such comments.
    """
    if not _BLOCK.search(readme):
        raise UserError("the README lacks the comments around the demo's table", "see results/reproduction/page.py")
    runs = kept(folder, "demo")
    if not runs.records:
        return readme
    what_was_run, *_ = summarise(runs, [])
    table = short_markdown(_table("demo", runs))
    parts = [Markdown().text(what_was_run), table.strip(), _contrasts("demo", runs), " ".join(_leads("demo", runs))]
    block = "\n\n".join(filter(None, parts))
    return _BLOCK.sub(lambda found: f"{found[1]}\n{block}\n\n{found[2]}", readme)


def _part(folder: Path, suite: str) -> Part:
    runs = kept(folder, suite)
    if not runs.records:
        return Part(suite, run=False)
    claims = ledger(runs)
    return Part(
        suite,
        run=True,
        summary=Markdown().text(" ".join(summarise(runs, [load_table(_DRAWN[suite])]))),
        conditions=Markdown().text(sentence(runs)),
        pretrainings=_grid([tuple(map(Markdown().text, row)) for row in pretrainings(runs)], HEADER),
        contrasts=_contrasts(suite, runs),
        leads=tuple(_leads(suite, runs)),
        pictures=tuple(f"{folder.name}/{name}" for name in _pictures(suite, runs)),
        tables=tuple(table_markdown(table) for table in fill_tables(tables_with_results(runs), runs)),
        claims=claims_markdown(claims) if claims.was_run else "",
    )


def _grid(rows: list[tuple[str, ...]], header: tuple[str, ...]) -> str:
    return tabulate(rows, header, tablefmt="pipe", disable_numparse=True) if rows else ""


def _contrasts(suite: str, runs: Runs) -> str:
    """CrossMAE minus MAE, a row per pair and column; empty without a pair."""
    rows = [_row(words, comparison) for _, words, compared in _compared(suite, runs) for comparison in compared]
    return _grid(rows, ("CrossMAE minus MAE", "Task", "Metric", "Mean", "95 % interval", "Seeds"))


def _table(suite: str, runs: Runs) -> Table:
    return fill_tables([_DRAWN[suite]], runs)[0]


def _pictures(suite: str, runs: Runs) -> dict[str, bytes]:
    colours = colours_of(stored.backbone for stored in runs.records)
    panels = time_panels(_table(suite, runs), colours)
    return {f"{suite}_{number}.svg": _svg(panel) for number, panel in enumerate(panels, start=1)}


def _svg(data_uri: str) -> bytes:
    return base64.b64decode(data_uri.partition(",")[2])


def _compared(suite: str, runs: Runs) -> Iterator[tuple[str, str, list[Comparison]]]:
    """CrossMAE against MAE in the metrics that the suite's table shows."""
    shown = {(column.task, column.metric) for column in load_table(_DRAWN[suite]).columns}
    for a, b, words in _PAIRS[suite]:
        yield a, words, [one for one in in_common(runs, a, b) if (one.task, one.metric) in shown]


def _row(words: str, comparison: Comparison) -> tuple[str, ...]:
    interval = comparison.over_seeds
    between = "" if interval.low is None else f"{interval.low:+.2f} to {interval.high:+.2f}"
    names = (Markdown().text(text) for text in (comparison.task, comparison.metric))
    return words, *names, f"{interval.mean:+.2f}", between, str(interval.count)


def _leads(suite: str, runs: Runs) -> Iterator[str]:
    """A sentence per pair: in how many columns CrossMAE is ahead and behind, and of how many that can be told."""
    for _, words, compared in _compared(suite, runs):
        if not compared:
            continue
        differences = [one.over_seeds.mean for one in compared]
        ahead, behind = sum(value > 0 for value in differences), sum(value < 0 for value in differences)
        text = (
            f"{words[0].upper()}{words[1:]}, CrossMAE is ahead of MAE in {ahead} of {len(compared)} columns and behind "
        )
        text += f"in {behind}, {sum(differences) / len(compared):+.1f} points on average"
        seeds = max(one.over_seeds.count for one in compared)
        if seeds < 2:
            yield f"{text}; with one seed none of it can be told from chance."
            continue
        told = Counter(one.verdict for one in compared)
        text += f"; by the intervals over {seeds} seeds it is better in {told[ComparisonVerdict.BETTER]}, worse in "
        text += f"{told[ComparisonVerdict.WORSE]}, and {told[ComparisonVerdict.CANNOT_TELL]} cannot be told"
        yield f"{text}."
