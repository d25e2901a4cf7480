"""What a run's folder says about it: finished, failed, or waiting for another run."""

import json
import time
from pathlib import Path

from tests.support.bench import TASKS
from transfer.harness.folder.state import RunState, states_of
from transfer.harness.plan.plan import make_plan
from transfer.harness.plan.suite import BackboneEntry, Suite, load_suite
from transfer.harness.plan.tasks import load_specs


def test_five_hundred_runs_are_planned_and_looked_at_within_two_seconds(tmp_path: Path) -> None:
    backbones = tuple(BackboneEntry(f"random{i}", source="random:vit_demo") for i in range(10))
    suite = Suite("big", "", backbones, {"counting": "quick", "summing": "quick"}, tuple(range(25)))
    specs = load_specs([TASKS])
    for run in make_plan(suite, specs, tmp_path)[::2]:
        (run.folder / "attempts").mkdir(parents=True)
        (run.folder / "lock").touch()
        (run.folder / "run.json").write_text("{}")
        attempt = {"reason": "no", "exit_code": 1, "retryable": False, "started": "a", "finished": "b", "command": "c"}
        (run.folder / "attempts" / "1.json").write_text(json.dumps({**attempt, "schema_version": 1}))
    start = time.monotonic()
    statuses = states_of(make_plan(suite, specs, tmp_path))
    assert time.monotonic() - start < 2
    assert len(statuses) == 500
    assert sum(status.state is RunState.FAILED for status in statuses) == 250


def test_blocked_runs_say_by_what(tmp_path: Path) -> None:
    runs = make_plan(load_suite("demo"), load_specs(), tmp_path)
    (status,) = [
        status for status in states_of(runs) if status.run.task.name == "inat19" and status.run.backbone == "mae"
    ]
    assert status.state is RunState.BLOCKED
    assert status.reason == "waits for pretrain mae seed 0 (missing)"
