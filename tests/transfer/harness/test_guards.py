"""Damaged files, GPUs that torch cannot use, wrong metrics: each is one line, and no result is lost or invented."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.support.bench import TASKS, Bench


def cut_short(record: Path) -> None:
    record.write_bytes(record.read_bytes()[:100])


def empty(record: Path) -> None:
    record.write_bytes(b"")


def name_another_run(record: Path) -> None:
    record.write_text(json.dumps({**json.loads(record.read_text()), "identity": "0123456789"}))


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    "damage", [cut_short, pytest.param(empty, marks=SLOW), pytest.param(name_another_run, marks=SLOW)]
)
def test_a_damaged_record_is_reported_kept_and_measured_again(bench: Bench, damage: Callable[[Path], None]) -> None:
    bench.suite(tasks=("counting",), counting=["seconds_per_step=0"])
    assert bench.run()[0] == 0
    record = bench.run_folder("counting") / "record.json"
    damage(record)
    damaged = record.read_bytes()
    code, output = bench.run()
    assert code == 0, output
    assert "nothing to do" not in output
    assert "is kept as record.json.damaged-1, and the run is repeated" in output
    assert record.with_name("record.json.damaged-1").read_bytes() == damaged
    assert json.loads(record.read_text())["metrics"] == {"total": sum(range(20))}
    assert "nothing to do" in bench.run()[1]


@pytest.mark.parametrize(
    ("file", "content"),
    [
        pytest.param("attempts/1.json", "", marks=SLOW),
        ("session.json", '{"started": 5}'),
        pytest.param("attempts/1.json", '{"started": 5}', marks=SLOW),
        pytest.param("session.json", "", marks=SLOW),
    ],
)
def test_a_damaged_note_stops_neither_the_run_nor_the_others(bench: Bench, file: str, content: str) -> None:
    bench.suite(tasks=("counting",), counting=["seconds_per_step=0"])
    assert bench.run()[0] == 0
    folder = bench.run_folder("counting")
    (folder / "record.json").unlink()
    (folder / file).parent.mkdir(exist_ok=True)
    (folder / file).write_text(content)
    code, output = bench.run()
    assert code == 0, output
    assert len(bench.records()) == 1
    if file.startswith("attempts"):
        (line,) = [line for line in (folder / "log.txt").read_text().splitlines() if "it is passed over" in line]
        assert "attempts/1.json" in line


@pytest.mark.slow
def test_an_evaluation_that_fails_leaves_the_former_record(bench: Bench) -> None:
    (bench.folder / "total.pth").write_text("50.0")
    bench.suite()

    def evaluate() -> int:
        command = ("counting", "--weights", "total.pth", "--recipe", "quick", "--demo")
        return bench.command("evaluate", *command, "--out", "out", "--tasks", str(TASKS))[0]

    assert evaluate() == 0
    (record,) = (bench.folder / "out").glob("counting/total/*/record.json")
    before = record.read_bytes()
    tasks = bench.folder / "tasks"
    shutil.copytree(TASKS, tasks)
    module = tasks / "counting.py"
    module.write_text(module.read_text().replace("float(weights.read_text())", "1 / 0"))
    command = ("counting", "--weights", "total.pth", "--recipe", "quick", "--demo", "--out", "out", "--tasks", "tasks")
    assert bench.command("evaluate", *command)[0] == 1
    assert record.read_bytes() == before
    assert evaluate() == 0
    assert record.read_bytes() != before
    assert [path.name for path in bench.folder.iterdir() if path.name.startswith(".evaluate")] == []


def test_gpus_that_torch_cannot_use_are_refused_and_not_replaced_by_the_cpu(bench: Bench) -> None:
    bench.pretend_gpus(2, torch_agrees=False)
    bench.suite(tasks=("counting",))
    code, output = bench.run()
    assert code == 1
    assert "this run was given a GPU (0,1), but torch" in output
    assert not bench.records()
    assert "this run was given a GPU" in bench.transfer("check", *bench.options)[1]


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        ("[total, more]", "task counted did not return more, which its file names"),
        ("[sum]", "task counted returned total, which its file does not name and did not return sum, which"),
    ],
)
def test_metrics_other_than_those_of_the_task_file_fail_the_run(bench: Bench, metrics: str, message: str) -> None:
    more = bench.folder / "more"
    more.mkdir()
    content = yaml.safe_load((TASKS / "counting.yaml").read_text())
    content.update(metrics=yaml.safe_load(metrics), recipes=str(TASKS / "recipes"))
    (more / "counted.yaml").write_text(yaml.safe_dump(content))
    bench.suite(tasks=("counted",), counted=["seconds_per_step=0"])
    code, output = bench.run("--tasks", "more")
    assert code == 1
    assert f"FAILED counted random seed 0: {message}" in output
    assert not bench.records()


def test_a_wrong_recipe_is_named_before_anything_starts(bench: Bench) -> None:
    bench.suite(tasks=("counting",), counting=["steps=-1"])
    for code, output in (bench.transfer("check"), bench.run("--dry-run"), bench.run()):
        assert code == 1
        assert "counting, recipe quick: steps is -1" in output
    assert not bench.records()
