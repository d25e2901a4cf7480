"""Tables and report after runs: written when something is new, wherever it came from."""

import io
from pathlib import Path

from rich.console import Console

from tests.support.runs import RunFolder
from transfer.harness.benchmark import collect
from transfer.harness.plan.suite import Suite


def shown(out: Path, *tables: str) -> str:
    console = Console(file=io.StringIO(), width=200)
    collect(out, Suite("mine", "Mine", (), {}, tables=tables), [], console)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert (out / "report.html").is_file()
    return text


def test_tables_follow_copied_runs_and_a_changed_suite(tmp_path: Path) -> None:
    ours, theirs = RunFolder(tmp_path / "runs"), RunFolder(tmp_path / "runs" / "from_the_lab")
    ours.record("inat19", "mae", 0, {"top1": 70.0})
    assert "70.0" in shown(ours.out, "demo")
    report = (ours.out / "report.html").stat().st_mtime_ns
    shown(ours.out, "demo")
    assert (ours.out / "report.html").stat().st_mtime_ns == report
    theirs.record("inat19", "crossmae", 0, {"top1": 71.5})
    assert "71.5" in shown(ours.out, "demo")
    assert "Every backbone on every task" in shown(ours.out, "demo", "overview")
