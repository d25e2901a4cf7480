"""Estimates from real trials."""

import json
import re

import pytest

from transfer.harness.estimate import Estimate, wall_seconds
from transfer.harness.estimates import read_estimates
from transfer.harness.plan import make_plan
from transfer.harness.specs import load_specs
from transfer.harness.suite import load_suite


@pytest.mark.slow
def test_estimate_is_near_what_the_run_takes(bench):
    """Also beside it in the record; the trials leave nothing behind."""
    bench.suite(tasks=("counting",), counting=["steps=150"])
    code, output = bench.transfer("estimate", "--price", "3600")
    assert code == 0, output
    assert [path.name for path in bench.folder.iterdir() if path.name.startswith(".estimate")] == []
    (expected,) = read_estimates(bench.folder / "out").values()
    assert float(re.search(r"([\d.]+) in\s+money", output)[1]) == pytest.approx(3600 * expected, abs=0.02 * 3600)
    assert bench.run()[0] == 0
    cost = json.loads((bench.run_folder("counting") / "record.json").read_text())["cost"]
    assert cost["estimated_device_hours"] == expected
    assert cost["device_hours"] == pytest.approx(expected, rel=0.25)


def test_wall_time_packs_runs_and_waits_for_pretraining(tmp_path):
    runs = make_plan(load_suite("demo"), load_specs(), tmp_path)
    assert wall_seconds([Estimate(run, 10, 0) for run in runs], devices=100) == 20
    assert wall_seconds([Estimate(run, 10, 0) for run in runs], devices=1) == 170
    assert wall_seconds([Estimate(run, 10, 0) for run in runs], devices=2) == 90
