"""From records to tables and the report; nothing is written again as long as no record or attempt is new."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from rich.console import Console

from results.runs import Planned, find_runs
from results.tables.write import write_tables
from transfer.harness.plan.plan import Run
from transfer.harness.plan.suite import Suite


def collect(out: Path, suite: Suite, runs: Iterable[Run], console: Console) -> None:
    """Shows the suite's tables, after writing ``out/tables/`` if runs have ended since they were made."""
    if not suite.tables:
        return
    folder = out / "tables"
    shown, mark = folder / f"{suite.name}.txt", folder / f".{suite.name}.made_from"
    fingerprint = _fingerprint(out, suite)
    if not (shown.exists() and mark.exists() and mark.read_text() == fingerprint):
        from results.report.write import write_report  # matplotlib takes its time: only when something is new

        found = find_runs(out, [Planned(run.task.name, run.backbone, run.seed) for run in runs])
        text = write_tables(found, suite.tables, folder)
        write_report(found, out / "report.html", suite.tables, suite.title)
        shown.write_text(text + "\n")
        mark.write_text(fingerprint)
    console.print(shown.read_text().rstrip(), markup=False, highlight=False, soft_wrap=True)
    console.print(f"tables: {folder}\nreport: {out / 'report.html'}", markup=False, highlight=False, soft_wrap=True)


def _fingerprint(out: Path, suite: Suite) -> str:
    files = sorted([*out.rglob("record.json"), *out.rglob("attempts/*.json")])
    stats = [(str(file.relative_to(out)), file.stat().st_mtime_ns, file.stat().st_size) for file in files]
    return hashlib.sha256(repr((suite.title, suite.tables, stats)).encode()).hexdigest()
