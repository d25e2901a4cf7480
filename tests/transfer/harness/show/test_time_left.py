"""How long a benchmark still takes."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.runs import RunFolder
from transfer.harness.folder.expected import Expected
from transfer.harness.launch.controller import Campaign
from transfer.harness.plan.plan import Run, make_plan
from transfer.harness.plan.suite import load_suite
from transfer.harness.plan.tasks import load_specs
from transfer.harness.show.time_left import TimeLeft


@pytest.fixture
def probes(tmp_path: Path) -> list[Run]:
    """Five runs of one recipe."""
    suite = replace(load_suite("demo"), seeds=(0, 1, 2, 3, 4), tasks={"inat19": "demo"})
    runs = make_plan(suite, load_specs(), tmp_path)
    return [run for run in runs if (run.task.name, run.backbone) == ("inat19", "random")]


def finished(run: Run, out: Path, minutes: float) -> Run:
    return replace(run, folder=RunFolder(out).record("inat19", "random", run.seed, {"top1": 1.0}, minutes=minutes))


def test_waiting_runs_take_what_finished_ones_took_on_as_many_lanes_as_run(probes: list[Run], tmp_path: Path) -> None:
    """Two lanes that have just started, of 3 minutes each; two more wait."""
    done = [finished(probes[0], tmp_path / "out", 3)]
    state = Campaign(waiting=probes[3:], running=probes[1:3], done=done)
    assert TimeLeft({}).sentence(state) == "about 6:00 left"


def test_a_running_run_counts_by_its_own_pace(probes: list[Run], tmp_path: Path) -> None:
    """10 of 40 updates were reported a second apart: 30 s are left."""
    probes[1].folder.mkdir(parents=True)
    lines = [f'{{"time": {100 + step}, "step": {step}, "total": 40, "loss": 1.0}}\n' for step in (0, 10)]
    (probes[1].folder / "progress.jsonl").write_text("".join(lines))
    state = Campaign(waiting=[], running=[probes[1]], done=[finished(probes[0], tmp_path / "out", 3)])
    assert TimeLeft({}).sentence(state) == "about 0:30 left"


def test_estimates_serve_where_nothing_has_finished(probes: list[Run]) -> None:
    expected = {run.identity: Expected(device_hours=0.5, bytes_on_disk=0) for run in probes}
    assert TimeLeft(expected).sentence(Campaign(waiting=probes[:3])) == "about 1:30:00 left"


def test_what_is_not_known_is_said(probes: list[Run]) -> None:
    expected = {probes[0].identity: Expected(device_hours=0.5, bytes_on_disk=0)}
    assert TimeLeft(expected).sentence(Campaign(waiting=probes[:2])) == "more than 30:00 left; 1 run of unknown length"
    assert TimeLeft({}).sentence(Campaign(waiting=probes[:2])) == "time left is not known; 2 runs of unknown length"
