"""The time of tries that ended badly is measured, whatever clocks and copies did to their files."""

import json
import time
from pathlib import Path

import pytest

from results.record import Attempt
from results.store import write_attempt
from transfer.harness.folder.attempts import attempts_of, begin_attempt, seconds_in_attempts


def test_a_clock_that_was_set_back_costs_nothing(tmp_path: Path) -> None:
    started, finished = "2026-01-02T00:00:00+00:00", "2026-01-01T22:00:00+00:00"
    write_attempt(tmp_path, Attempt("no luck", 1, False, started, finished, "run_all"))
    assert seconds_in_attempts(tmp_path) == 0


def test_a_killed_run_that_was_copied_without_time_stamps_costs_what_it_ran(tmp_path: Path) -> None:
    """Five days after it was killed; its files are as old as the copy."""
    begun = time.time() - 5 * 86_400
    started = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(begun))
    (tmp_path / "session.json").write_text(json.dumps({"started": started, "command": "run_all"}))
    (tmp_path / "progress.jsonl").write_text(json.dumps({"time": begun + 8, "step": 1, "total": 2}) + "\n")
    begin_attempt(tmp_path, "run_all")
    assert len(attempts_of(tmp_path).read) == 1
    assert seconds_in_attempts(tmp_path) == pytest.approx(8, abs=1)
