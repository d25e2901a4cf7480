"""Estimates from real trials."""

import json
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.bench import Bench
from transfer.commands import estimate as command
from transfer.harness.folder.expected import read_expected
from transfer.harness.plan.plan import make_plan
from transfer.harness.plan.suite import BackboneEntry, load_suite
from transfer.harness.plan.tasks import load_specs
from transfer.harness.show.estimates import Estimate, trial_suite, wall_seconds


@pytest.mark.slow
def test_estimate_is_near_what_the_run_takes(bench: Bench) -> None:
    """The record keeps the estimate, too; the trials leave nothing behind."""
    bench.suite(tasks=("counting",), counting=["steps=150"])
    code, output = bench.transfer("estimate", "--price", "3600")
    assert code == 0, output
    assert [path.name for path in bench.folder.iterdir() if path.name.startswith(".estimate")] == []
    expected = next(iter(read_expected(bench.folder / "out").values())).device_hours
    (money,) = re.findall(r"([\d.]+) in\s+money", output)
    assert float(money) == pytest.approx(3600 * expected, abs=0.02 * 3600)
    assert bench.run()[0] == 0
    cost = json.loads((bench.run_folder("counting") / "record.json").read_text())["cost"]
    assert cost["estimated_device_hours"] == expected
    assert cost["device_hours"] == pytest.approx(expected, rel=0.25)


@pytest.mark.parametrize(
    "name", ["demo", "smoke", "paper", "ablations", "backbone", "quick", "frozen", "frozen_demo", "dense"]
)
def test_trials_are_shorter_than_what_they_stand_for_and_longer_than_their_warm_up(name: str, tmp_path: Path) -> None:
    suite = load_suite(name)
    if not suite.backbones:
        suite = replace(suite, backbones=(BackboneEntry("mine", source="random:vit_b16", arch="vit_b16"),))
    specs = load_specs()
    runs = make_plan(suite, specs, tmp_path)
    for run, trial in zip(runs, make_plan(trial_suite(suite, runs), specs, tmp_path / "trials"), strict=True):
        whole, short = run.recipe.protocol, trial.recipe.protocol
        for unit in ("steps", "epochs"):
            if short.get(unit) is not None and (unit == "steps" or short.get("steps") is None):
                assert short[unit] <= min(whole[unit], 30)
                if short.get(f"warmup_{unit}"):
                    assert short[f"warmup_{unit}"] < short[unit], trial.title


def test_wall_time_packs_runs_and_waits_for_pretraining(tmp_path: Path) -> None:
    runs = make_plan(load_suite("demo"), load_specs(), tmp_path)
    estimates = [Estimate(run, devices=1, seconds=10, bytes_on_disk=0) for run in runs]
    assert wall_seconds(estimates, devices=100) == 20
    assert wall_seconds(estimates, devices=1) == 10 * len(runs)
    assert wall_seconds(estimates, devices=2) == 10 * ((len(runs) + 1) // 2)


def test_runs_that_can_start_overtake_those_that_wait(tmp_path: Path) -> None:
    """One long pretraining: meanwhile the tasks of the other backbones fill the other device."""
    runs = make_plan(load_suite("demo"), load_specs(), tmp_path)
    long = next(run for run in runs if run.task.name == "pretrain" and run.backbone == "mae")
    estimates = [Estimate(run, 1, 60 if run is long else 10, 0) for run in runs]
    assert wall_seconds(estimates, devices=2) == 10 * ((len(runs) - 1 + 6 + 1) // 2)


def test_folders_of_estimates_that_were_killed_are_removed_and_those_of_others_are_left(tmp_path: Path) -> None:
    own, other_host = f".estimate-{command._HOST}-{os.getpid()}-a", f".estimate-elsewhere-{2**22 + 1}-b"
    for name in (own, other_host, f".estimate-{command._HOST}-{2**22 + 1}-c", ".estimate-by-hand"):
        (tmp_path / name).mkdir()
    new = command._scratch(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {own, other_host, ".estimate-by-hand", new.name}
