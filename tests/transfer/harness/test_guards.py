"""Damaged files, wrong clocks, deaf runs and wrong names: each is said in a line, and no result is lost or invented."""

import json
import os
import shutil
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from crossmae.errors import UserError
from results.record import Attempt
from results.store import write_attempt
from tests.support.bench import TASKS, Bench, wait_until
from transfer.harness.folder.attempts import attempts_of, begin_attempt, seconds_in_attempts
from transfer.harness.folder.request import request_for
from transfer.harness.launch.devices import Pool
from transfer.harness.launch.launcher import Ended
from transfer.harness.launch.local import LocalLauncher
from transfer.harness.plan.data_roots import data_roots
from transfer.harness.plan.plan import make_plan
from transfer.harness.plan.suite import BackboneEntry, Suite, load_suite
from transfer.harness.plan.tasks import load_specs
from transfer.harness.worker.torchrun import LOOPBACK_VARIABLE, call_meeting


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
        ("attempts/1.json", ""),
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


def test_a_run_that_does_not_end_when_it_is_stopped_is_killed(tmp_path: Path) -> None:
    suite = Suite("s", "", (BackboneEntry("random", source="random:vit_demo"),), {"counting": "quick"}, demo_data=True)
    (run,) = make_plan(suite.override("counting", "fault=once-hang"), load_specs([TASKS]), tmp_path / "out")
    (tmp_path / "numbers").mkdir()
    (tmp_path / "numbers" / "numbers.json").write_text(json.dumps(list(range(30))))
    roots = data_roots([f"numbers={tmp_path / 'numbers'}"], demo=True)
    launcher = LocalLauncher(Pool(("cpu0",), False, 1), hang_seconds=600, seconds_to_save=2)
    assert launcher.start(run, request_for(run, roots, [TASKS], "run_all"))
    wait_until((run.folder / "fault-happened").exists)
    time.sleep(0.5)  # The fault is noted just before the run turns deaf.
    launcher.stop()
    ended: list[Ended] = []

    def has_ended() -> bool:
        ended.extend(launcher.poll())
        return bool(ended)

    wait_until(has_ended, seconds=30)
    assert [end.run for end in ended] == [run]
    assert ended[0].exit_code


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


@pytest.mark.parametrize("name", ["../../../x", "/abs", ".hidden", "a b", "", "x" * 101])
def test_a_name_that_leads_out_of_the_folder_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has a name that cannot be a folder's"):
        BackboneEntry(name, source="random:vit_demo")
    suite = {"title": "x", "backbones": {name: {"source": "random:vit_demo"}}, "tasks": {"inat19": "demo"}}
    (tmp_path / "suite.yaml").write_text(yaml.safe_dump(suite))
    with pytest.raises(UserError, match="has a name that cannot be a folder's"):
        load_suite(str(tmp_path / "suite.yaml"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"backbnes": {}}, "has unknown backbnes"),
        ({"title": None}, "title is None"),
        ({"seeds": [True]}, "seeds.0 is True"),
        ({"backbones": {"a": {"sorce": "x"}}}, "has unknown backbones.a.sorce"),
    ],
)
def test_a_wrong_suite_is_one_line(content: object, message: str, tmp_path: Path) -> None:
    good = {"title": "x", "backbones": {}, "tasks": {}}
    (tmp_path / "suite.yaml").write_text(yaml.safe_dump({**good, **content}))  # type: ignore[dict-item]
    with pytest.raises(UserError, match=message) as error:
        load_suite(str(tmp_path / "suite.yaml"))
    assert "\n" not in str(error.value)


def test_nodes_do_not_meet_at_an_address_that_only_one_of_them_reaches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "gethostbyname", lambda name: "127.0.1.1")
    for name in ("TRANSFER_JOB", "CROSSMAE_LOCK_TOKEN"):
        monkeypatch.setenv(name, "x")
    with pytest.raises(UserError, match=r"stands for 127\.0\.1\.1, which other nodes cannot reach"):
        call_meeting(tmp_path)
    monkeypatch.setitem(os.environ, LOOPBACK_VARIABLE, "1")
    call_meeting(tmp_path)
