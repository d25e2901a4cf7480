"""``transfer tables``, ``claims``, ``report`` and ``compare`` as they are typed."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from crossmae.errors import UserError
from results.tables.spec import table_names
from tests.support.runs import RunFolder
from transfer.cli import app


def said(*arguments: object) -> str:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.output


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    made = RunFolder(tmp_path / "runs")
    for seed in range(3):
        made.record("inat19", "random", seed, {"top1": 30.0 + seed})
        made.record("inat19", "crossmae", seed, {"top1": 45.0 + seed + seed / 10})
    return made.out


def test_tables_prints_and_writes_those_that_have_results(runs: Path, tmp_path: Path) -> None:
    text = said("tables", runs, "--out", tmp_path / "tables")
    assert "The demo" in text
    assert "Every backbone on every task" in text
    assert {path.stem for path in (tmp_path / "tables").iterdir()} == {"demo", "overview"}


def test_all_tables_are_written_on_demand(runs: Path) -> None:
    said("tables", runs, "--all")
    assert (runs / "tables" / "table1.tex").is_file()
    assert said("tables", "--list").split() == table_names()


def test_claims_are_printed_and_written_next_to_the_tables(runs: Path, tmp_path: Path) -> None:
    for seed in range(3):
        RunFolder(runs).record("inat19", "mae", seed, {"top1": 40.0 + seed})
    text = " ".join(said("claims", runs, "--out", tmp_path).split())
    assert "CrossMAE transfers better than MAE holds (demo) +5.10" in text
    assert (tmp_path / "claims.md").is_file()
    assert "1 hold, 0 do not hold" in said("tables", runs)
    assert (runs / "tables" / "claims.csv").is_file()


def test_report_writes_one_file(runs: Path) -> None:
    assert said("report", runs).strip() == str(runs / "report.html")
    assert "Every backbone on every task" in (runs / "report.html").read_text()


def test_compare_says_it_in_words(runs: Path) -> None:
    text = said("compare", "crossmae", "random", "--runs", runs)
    assert "inat19 top1: crossmae minus random is +15.10 over 3 seeds" in text
    assert "crossmae is better" in text


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("tables", "nowhere"), "no folder nowhere"),
        (("tables", "{runs}", "--table", "nope"), "no table 'nope'; known: demo, demo_decoders, "),
        (("claims", "{runs}", "--scale", "nope"), "no scale 'nope'; known: paper, ablations, demo"),
        (("compare", "a", "b", "--runs", "{runs}"), "there are crossmae, random"),
    ],
)
def test_mistakes_are_told_in_one_line(runs: Path, arguments: tuple[str, ...], complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        said(*(argument.format(runs=runs) for argument in arguments))
