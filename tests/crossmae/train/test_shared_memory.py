"""Batches that are loaded ahead lie in shared memory: how much they take; too little of it is told beforehand."""

import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from crossmae.errors import UserError
from crossmae.train.batches import MicroBatches, SampleStream, bytes_in_flight, require_shared_memory
from crossmae.train.config import Split
from tests.support import toy

SAMPLE = 8 * 4 + 2 * 8
"""Bytes of the toy's eight numbers and its key."""


def test_bytes_in_flight_follow_from_workers_and_batch(tmp_path: Path) -> None:
    workload, stream = toy.Toy(tmp_path), SampleStream(toy.SAMPLES, 16, seed=0)
    keys = MicroBatches(stream, Split(2, 1, 8), rank=0, start=0, stop=4)
    assert bytes_in_flight(workload, workload.dataset(), keys, workers=3) == 3 * 2 * 8 * SAMPLE
    assert bytes_in_flight(workload, workload.dataset(), keys, workers=0) == 0
    finished = MicroBatches(stream, Split(2, 1, 8), rank=0, start=4, stop=4)
    assert bytes_in_flight(workload, workload.dataset(), finished, workers=3) == 0


def test_a_run_whose_batches_shared_memory_cannot_hold_is_told_so_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nearly_full(path: Any) -> Any:
        assert str(path) == "/dev/shm"
        return SimpleNamespace(f_bavail=1, f_frsize=1024)

    monkeypatch.setattr(os, "statvfs", nearly_full)
    with pytest.raises(UserError, match=r"take 0\.0 GiB of /dev/shm, which has 0\.0 GiB free; lower workers") as told:
        toy.run(toy.Toy(tmp_path), execution=replace(toy.EXECUTION, workers=1))
    assert "\n" not in str(told.value)
    assert not list(tmp_path.glob("seen-*"))
    # In the training process nothing is loaded ahead.
    toy.run(toy.Toy(tmp_path / "alone"), plan=replace(toy.PLAN, steps=1))


def test_what_fits_is_let_through(tmp_path: Path) -> None:
    require_shared_memory(1)
    require_shared_memory(2**60, tmp_path / "no such place")
    with pytest.raises(UserError):
        require_shared_memory(2**60, tmp_path)
