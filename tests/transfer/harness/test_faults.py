"""Kills, hangs, failing runs, Ctrl-C and a full disk, with real processes.

After each: the other runs finished, the same command completes the rest, finished runs are as they were.
"""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from PIL import Image

from tests.support.bench import TASKS, Bench
from transfer.harness.worker.process_tree import parent_of, processes_of

SLOW = "seconds_per_step=0.15"
QUICK = "seconds_per_step=0.01"
STEPS = list(range(1, 21))


def finished(bench: Bench) -> list[str]:
    return sorted(file.parts[-4] for file in bench.records())


def assert_nothing_left_to_do(bench: Bench) -> None:
    records = bench.records()
    code, output = bench.run()
    assert code == 0, output
    assert "nothing to do" in output
    assert bench.records() == records


def assert_same_command_completes(
    bench: Bench, others: Sequence[str] = ("summing",), everything: Sequence[str] = ("counting", "summing")
) -> None:
    """``others`` have finished; the same command finishes the rest and leaves them, inode and bytes, as they are."""
    records = bench.records()
    assert finished(bench) == sorted(others)
    code, output = bench.run()
    assert code == 0, output
    assert finished(bench) == sorted(everything)
    assert records.items() <= bench.records().items()
    assert_nothing_left_to_do(bench)


def assert_never_two_writers(bench: Bench, task: str) -> None:
    """Every writer wrote in one stretch, and steps continue from a saved state."""
    writers = bench.writers(task)
    assert len(writers) == len(set(writers))


def test_killed_run_is_retried_from_its_state(bench: Bench) -> None:
    bench.suite(counting=["fault=once-die"])
    code, output = bench.run()
    assert code == 0, output
    assert "again counting random seed 0 (retry 1 of 2): killed by signal 9 SIGKILL" in output
    assert finished(bench) == ["counting", "summing"]
    assert bench.steps("counting") == STEPS
    assert_never_two_writers(bench, "counting")
    assert_nothing_left_to_do(bench)


@pytest.mark.slow
def test_killed_process_of_several_is_retried_and_not_resumed(bench: Bench) -> None:
    """torchrun ends the others, which save their state and ask to be resumed; that must not count as progress."""
    bench.options = ("--devices", "cpu:3")
    content = bench.suite_content({"counting": "quick", "summing": "quick"}, counting=["fault=once-die"])
    bench.write_suite({**content, "devices": {"counting": 2}})
    code, output = bench.run()
    assert code == 0, output
    assert "again counting random seed 0 (retry 1 of 2): 1 of the run's 2 processes were killed" in output
    assert finished(bench) == ["counting", "summing"]
    assert_nothing_left_to_do(bench)


@pytest.mark.slow
def test_several_processes_that_are_asked_to_stop_are_resumed_and_not_retried(bench: Bench) -> None:
    """What torchrun itself reports as a failure: exit code 1 for workers that exit with 75."""
    bench.options = ("--devices", "cpu:3")
    content = bench.suite_content({"counting": "quick", "summing": "quick"}, counting=[SLOW])
    bench.write_suite({**content, "devices": {"counting": 2}})
    first = bench.start()
    bench.until_step(3)
    (launched,) = [pid for pid in processes_of(bench.run_folder("counting")) if parent_of(pid) == first.pid]
    os.kill(launched, signal.SIGTERM)
    output, _ = first.communicate(timeout=120)
    assert first.returncode == 0, output
    assert "counting random seed 0 asks to be resumed: stopped by SIGTERM after step" in output
    assert "retry" not in output
    attempt = json.loads((bench.run_folder("counting") / "attempts" / "1.json").read_text())
    assert attempt["exit_code"] == 75
    assert finished(bench) == ["counting", "summing"]


@pytest.mark.slow
def test_killed_worker_of_a_data_loader_is_retried(bench: Bench) -> None:
    images = bench.folder / "images"
    images.mkdir()
    for index in range(256):
        Image.effect_noise((64, 64), 50).convert("RGB").save(images / f"{index}.png")
    changes = ["global_batch=32", "steps=60", "warmup_steps=5", "workers=1", "in_memory=false", "log_every=1"]
    content = bench.suite_content({"summing": "quick"}, pretrain=[*changes, "checkpoint_every=5"])
    content["backbones"]["ours"] = {"pretrain": "demo_crossmae", "tasks": []}
    bench.write_suite(content)
    bench.options += ("--data", "pretrain=images")
    first = bench.start()
    os.kill(loader_worker(bench, first.pid), signal.SIGKILL)
    output, _ = first.communicate(timeout=300)
    assert first.returncode == 0, output
    assert "again pretrain ours seed 0 (retry 1 of 2): RuntimeError: DataLoader worker (pid" in output
    assert finished(bench) == ["pretrain", "summing"]
    assert_nothing_left_to_do(bench)


def loader_worker(bench: Bench, controller: int) -> int:
    """A process below the run's own, once training has begun."""
    deadline = time.monotonic() + 120
    while True:
        assert time.monotonic() < deadline
        for folder in (bench.folder / "out" / "pretrain").glob("ours/0-*"):
            below = [pid for pid in processes_of(folder) if parent_of(pid) != controller]
            if below and (folder / "progress.jsonl").exists():
                return below[0]
        time.sleep(0.05)


@pytest.mark.slow
def test_hopeless_kills_end_after_some_retries(bench: Bench) -> None:
    bench.suite(counting=["fault=die"])
    code, output = bench.run()
    assert code == 1
    assert output.count("again counting") == 2
    bench.suite()
    assert_same_command_completes(bench)


@pytest.mark.slow
@pytest.mark.parametrize("whole_group", [False, True])
def test_killed_controller_is_taken_over(bench: Bench, whole_group: bool) -> None:
    bench.suite(counting=[SLOW], summing=[QUICK])
    first = bench.start()
    bench.until_record("summing")
    bench.until_step(3)
    if whole_group:
        os.killpg(first.pid, signal.SIGKILL)
    else:
        first.kill()
    assert_same_command_completes(bench)
    assert bench.steps("counting") == STEPS
    assert_never_two_writers(bench, "counting")


@pytest.mark.slow
def test_hanging_run_is_ended_and_retried(bench: Bench) -> None:
    bench.suite(counting=["fault=once-hang"])
    bench.options += ("--hang-minutes", "0.3")
    code, output = bench.run()
    assert code == 0, output
    assert "no sign of life" in output
    assert finished(bench) == ["counting", "summing"]
    assert bench.steps("counting")[-1] == 20
    assert_never_two_writers(bench, "counting")
    assert_nothing_left_to_do(bench)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("raise", "ValueError: the fifth number is unlucky"),
        (
            "memory",
            "out of memory; halve per_device_batch: --set counting.per_device_batch=4 (the numbers stay the same)",
        ),
    ],
)
def test_failing_run_says_why_and_leaves_the_others_alone(bench: Bench, fault: str, reason: str) -> None:
    bench.suite(counting=[f"fault=once-{fault}"])
    code, output = bench.run()
    assert code == 1
    assert f"FAILED counting random seed 0: {reason}" in output
    attempt = json.loads((bench.run_folder("counting") / "attempts" / "1.json").read_text())
    assert attempt["reason"] == reason
    assert_same_command_completes(bench)
    assert bench.steps("counting") == STEPS


@pytest.mark.slow
def test_one_damaged_data_set_among_five(bench: Bench) -> None:
    tasks = [f"set{number}" for number in range(5)]
    plant_tasks(bench, tasks)
    bench.write_suite(bench.suite_content(dict.fromkeys(tasks, "quick"), 1, **{task: [QUICK] for task in tasks}))
    damaged = bench.folder / "data" / "demo" / "set2" / "numbers.json"
    damaged.parent.mkdir(parents=True)
    damaged.write_text("[0, 1, 2")
    code, output = bench.run()
    assert code == 1
    assert "numbers.json is damaged; fetch it again" in output
    assert damaged.read_text() == "[0, 1, 2"
    damaged.write_text(json.dumps(STEPS))
    assert_same_command_completes(bench, ["set0", "set1", "set3", "set4"], tasks)


def plant_tasks(bench: Bench, names: list[str]) -> None:
    """Tasks like ``counting``, each with a data set of its own."""
    (bench.folder / "more").mkdir()
    recipes = TASKS / "recipes"
    for name in names:
        spec = (
            f"version: 1\ntitle: x\nadapter: counting:Counting\ndataset: {name}\nmetrics: [total]\nrecipes: {recipes}\n"
        )
        (bench.folder / "more" / f"{name}.yaml").write_text(spec)
    bench.options += ("--tasks", "more")


@pytest.mark.slow
def test_ctrl_c_saves_and_the_same_command_resumes(bench: Bench) -> None:
    bench.suite(counting=[SLOW], summing=[QUICK])
    first = bench.start()
    bench.until_record("summing")
    bench.until_step(3)
    os.killpg(first.pid, signal.SIGINT)
    output, _ = first.communicate(timeout=60)
    assert first.returncode == 130
    assert "the same command resumes from here" in output
    assert_same_command_completes(bench)
    assert bench.steps("counting") == STEPS


@pytest.mark.slow
def test_ctrl_c_twice_leaves_at_once(bench: Bench) -> None:
    bench.suite(counting=["fault=once-hang"], summing=[QUICK])
    first = bench.start()
    bench.until_record("summing")
    while not any(bench.folder.rglob("fault-happened")):
        time.sleep(0.05)
    time.sleep(0.5)  # The fault is noted just before the run blocks its signals.
    first.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        first.wait(2)
    first.send_signal(signal.SIGINT)
    assert first.wait(10) == 130
    assert_same_command_completes(bench)


@pytest.fixture
def small_disk(bench: Bench) -> Iterator[Path]:
    """``out`` is a file system of its own."""
    out = bench.folder / "out"
    out.mkdir()
    if os.geteuid() or shutil.which("mount") is None:
        pytest.skip("only root may mount a small disk")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300m", "none", out], check=True)
    yield out
    bench.end()
    subprocess.run(["umount", "--lazy", out], check=True)


@pytest.mark.slow
def test_full_disk_is_named_and_finished_runs_survive_it(bench: Bench, small_disk: Path) -> None:
    bench.suite(counting=[SLOW, "fault=once-fill"], summing=[QUICK])
    code, output = bench.run()
    assert code == 1, output
    assert "FAILED counting random seed 0: no space left on the disk" in output
    code, output = bench.run()
    assert code == 1
    assert "GiB free of" in output
    (small_disk / "filler").unlink()
    assert_same_command_completes(bench)
