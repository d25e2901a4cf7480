"""Kills, hangs and Ctrl-C, with real processes: the same command completes what is missing and repeats nothing."""

import os
import signal
import time

import pytest

SLOW = "seconds_per_step=0.15"


def assert_never_two_writers(bench, task):
    """Every writer wrote in one stretch, and steps go on from a saved state."""
    writers = bench.writers(task)
    assert len(writers) == len(set(writers))


def test_killed_worker_is_retried_from_its_state(bench):
    bench.suite(tasks=("counting",), counting=["fault=once-die"])
    code, output = bench.run()
    assert code == 0, output
    assert "killed by signal 9 SIGKILL" in output
    assert bench.steps("counting") == [1, 2, 3, 4, *range(5, 21)]
    assert_never_two_writers(bench, "counting")


@pytest.mark.slow
def test_hopeless_kills_end_after_some_retries(bench):
    bench.suite(counting=["fault=die"])
    code, output = bench.run()
    assert code == 1
    assert output.count("again counting") == 2
    assert len(bench.records()) == 1


@pytest.mark.parametrize("whole_group", [pytest.param(False, marks=pytest.mark.slow), True])
def test_killed_controller_is_taken_over(bench, whole_group):
    bench.suite(counting=[SLOW], summing=["seconds_per_step=0.01"])
    first = bench.start()
    bench.until_step(20, "summing")
    bench.until_step(3)
    finished = bench.records()
    if whole_group:
        os.killpg(first.pid, signal.SIGKILL)
    else:
        first.kill()
    code, output = bench.run()
    assert code == 0, output
    assert finished.items() <= bench.records().items()
    assert bench.steps("counting") == list(range(1, 21))
    assert_never_two_writers(bench, "counting")


@pytest.mark.slow
def test_hanging_run_is_ended_and_retried(bench):
    bench.suite(tasks=("counting",), counting=["fault=once-hang"])
    code, output = bench.run("--hang-minutes", "0.3")
    assert code == 0, output
    assert "no sign of life" in output
    assert bench.steps("counting")[-1] == 20
    assert_never_two_writers(bench, "counting")


def test_ctrl_c_saves_and_the_same_command_goes_on(bench):
    bench.suite(counting=[SLOW], summing=[SLOW])
    first = bench.start()
    bench.until_step(3)
    bench.until_step(3, "summing")
    os.killpg(first.pid, signal.SIGINT)
    output, _ = first.communicate(timeout=60)
    assert first.returncode == 130
    assert "the same command goes on from here" in output
    assert not bench.records()
    code, output = bench.run()
    assert code == 0, output
    assert bench.steps("counting") == list(range(1, 21))


@pytest.mark.slow
def test_ctrl_c_twice_leaves_at_once(bench):
    bench.suite(tasks=("counting",), counting=["fault=hang"])
    first = bench.start()
    bench.until_step(4)
    while not any(bench.folder.rglob("fault-happened")):
        time.sleep(0.05)
    time.sleep(0.5)  # The fault is noted just before the run turns deaf.
    first.send_signal(signal.SIGINT)
    with pytest.raises(Exception, match="timed out"):
        first.wait(2)
    first.send_signal(signal.SIGINT)
    assert first.wait(10) == 130
    bench.suite(tasks=("counting",))
    assert bench.run()[0] == 0
