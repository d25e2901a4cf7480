"""The line that sums a benchmark up, and tables of runs and tasks."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from transfer.cli import app
from transfer.harness.folder.attempts import end_attempt
from transfer.harness.folder.expected import Expected
from transfer.harness.folder.request import request_for, write_request
from transfer.harness.folder.state import states_of
from transfer.harness.plan.data_roots import data_roots
from transfer.harness.plan.plan import make_plan
from transfer.harness.plan.suite import load_suite
from transfer.harness.plan.tasks import load_specs
from transfer.harness.show.status import summary


def test_hours_of_failed_tries_are_spent_too(tmp_path: Path) -> None:
    """An hour on two devices; the other runs are to come, one of them with an estimate."""
    runs = make_plan(load_suite("demo"), load_specs(), tmp_path)
    request = request_for(replace(runs[0], devices=2), data_roots((), demo=True), (), "run_all")
    write_request(runs[0].folder, request)
    hour_ago = (datetime.now(UTC) - timedelta(hours=1)).isoformat(timespec="seconds")
    (runs[0].folder / "session.json").write_text(json.dumps({"started": hour_ago, "command": "run_all"}))
    end_attempt(runs[0].folder, "no luck", 1, retryable=False)
    line = summary(states_of(runs), {runs[1].identity: Expected(0.5, 0)})
    assert f"device-hours so far 2.00, to come 0.50 and {len(runs) - 1} runs of unknown length" in line


def test_names_of_tasks_are_found_in_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    lines = CliRunner().invoke(app, ["tasks"], catch_exceptions=False).output.splitlines()
    for name, spec in load_specs().items():
        assert any(name in line and spec.title in line and spec.adapter in line for line in lines)
