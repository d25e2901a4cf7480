"""kill -9 at ten moments of a run of 1,000 updates: about a minute on an idle machine (``make test-kills``)."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from crossmae.train.batches import SampleStream
from tests.support import toy

OPTIONS = ("steps=1000", "checkpoint_every=25", "width=4000", "log_every=10")
Moment = Callable[[Path], Callable[[], bool]]
"""Looks at the folder before a start; what it returns says whether the moment has come."""


def start(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, toy.__file__, folder, *OPTIONS],
        stdout=subprocess.PIPE, text=True, start_new_session=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def states(folder: Path) -> list[int]:
    return sorted(int(path.name[5:13]) for path in (folder / "state").glob("step-*.pt"))


def unfinished(folder: Path) -> set[str]:
    return {path.name for path in (folder / "state").glob("step-*.tmp")}


def logged(folder: Path) -> int:
    lines = (folder / "losses.txt").read_text().splitlines() if (folder / "losses.txt").exists() else []
    return int(lines[-1].split()[0]) if lines else 0


def begun(folder: Path) -> Callable[[], bool]:
    return lambda: (folder / "seen-0.txt").exists()


def after(update: int) -> Moment:
    return lambda folder: lambda: logged(folder) >= update


def writing(folder: Path) -> Callable[[], bool]:
    left_by_earlier_kills = unfinished(folder)
    return lambda: bool(unfinished(folder) - left_by_earlier_kills)


def moments() -> list[tuple[str, Moment]]:
    """The first update, six drawn at random, twice in the middle of writing a state, and the last update."""
    drawn = [(f"after update {number}", after(number)) for number in sorted(random.Random(0).sample(range(50, 900), 6))]
    state = ("writing a state", writing)
    return [("first update", begun), *drawn[:3], state, *drawn[3:], state, ("last updates", after(990))]


@pytest.mark.slow
@pytest.mark.long
def test_ten_kills_leave_the_weights_of_an_undisturbed_run(tmp_path: Path) -> None:
    whole, folder = tmp_path / "whole", tmp_path / "killed"
    undisturbed = start(whole)
    undisturbed.communicate()
    assert undisturbed.returncode == 0

    for name, moment in moments():
        kill_once(folder, name, moment)
    last = start(folder)
    print(last.communicate()[0].splitlines()[0])
    assert last.returncode == 0

    one, other = (torch.load(path / "final.pt", weights_only=True) for path in (whole, folder))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert_each_sample_once(whole)


def kill_once(folder: Path, name: str, moment: Moment) -> None:
    before = max(states(folder), default=0)
    has_come = moment(folder)
    process = start(folder)
    while not has_come():
        assert process.poll() is None, f"the run ended before the kill at: {name}"
        time.sleep(0.0002)
    os.killpg(process.pid, signal.SIGKILL)
    output, _ = process.communicate()
    resumed = [line for line in output.splitlines() if line.startswith("resumed")]
    print(f"killed at: {name}; {resumed}; states {states(folder)}, {sorted(unfinished(folder))}")
    assert resumed == ([f"resumed at step {before} of 1000"] if before else [])


def assert_each_sample_once(folder: Path) -> None:
    """The samples seen are those that the updates' numbers say, each epoch's exactly once."""
    seen = (folder / "seen-0.txt").read_text().splitlines()
    stream = SampleStream(toy.SAMPLES, toy.PLAN.global_batch, toy.PLAN.seed)
    assert seen == [f"{key.epoch} {key.index}" for step in range(1000) for key in stream.keys(step)]
    for epoch in range(160):
        assert len(set(seen[epoch * 100 : epoch * 100 + 100])) == 100
