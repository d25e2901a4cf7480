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
import toy

from crossmae.train.stream import SampleStream

OPTIONS = ("steps=1000", "checkpoint_every=25", "width=4000", "log_every=10")


def start(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, toy.__file__, folder, *OPTIONS],
        stdout=subprocess.PIPE, text=True, start_new_session=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def updates_logged(folder: Path) -> int:
    path = folder / "losses.txt"
    return int(path.read_text().split("\n")[-2].split()[0]) if path.exists() and path.stat().st_size > 4 else 0


def states(folder: Path) -> list[int]:
    return sorted(int(path.name[5:13]) for path in (folder / "state").glob("step-*.pt"))


def writing(folder: Path) -> bool:
    return any((folder / "state").glob("step-*.tmp"))


def moments() -> list[tuple[str, Callable[[Path], bool]]]:
    """First and last update, twice in the middle of writing a state, and six times anywhere."""
    begun = lambda folder: (folder / "seen-0.txt").exists()  # noqa: E731
    late = lambda folder: updates_logged(folder) >= 990  # noqa: E731
    chosen = sorted(random.Random(0).sample(range(50, 950), 6))
    anywhere = [(f"after update {n}", lambda folder, n=n: updates_logged(folder) >= n) for n in chosen]
    return [
        ("first update", begun),
        *anywhere[:3],
        ("writing", writing),
        *anywhere[3:],
        ("writing", writing),
        ("last", late),
    ]


@pytest.mark.slow
def test_ten_kills_leave_the_weights_of_an_undisturbed_run(tmp_path: Path) -> None:
    whole = start(tmp_path / "whole")
    whole.communicate()
    assert whole.returncode == 0

    folder = tmp_path / "killed"
    for name, reached in moments():
        before = max(states(folder), default=0)
        process = start(folder)
        while not reached(folder):
            assert process.poll() is None, f"the run ended before the kill at: {name}"
            time.sleep(0.0002)
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        resumed = [line for line in output.splitlines() if line.startswith("resumed")]
        print(f"killed at: {name}; {resumed}; states {states(folder)}; unfinished file: {writing(folder)}")
        assert resumed == ([f"resumed at step {before} of 1000"] if before else [])
    last = start(folder)
    output, _ = last.communicate()
    assert last.returncode == 0
    print(output.splitlines()[0])

    one, other = (torch.load(path / "final.pt", weights_only=True) for path in (tmp_path / "whole", folder))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert_each_sample_once(tmp_path / "whole")


def assert_each_sample_once(folder: Path) -> None:
    """The samples seen are those that the updates' numbers say, each epoch's exactly once."""
    seen = (folder / "seen-0.txt").read_text().splitlines()
    stream = SampleStream(toy.SAMPLES, toy.PLAN.global_batch, toy.PLAN.seed)
    assert seen == [f"{key.epoch} {key.index}" for step in range(1000) for key in stream.keys(step)]
    for epoch in range(160):
        assert len(set(seen[epoch * 100 : epoch * 100 + 100])) == 100
