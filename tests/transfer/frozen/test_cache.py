"""Features are kept whole: killed at any moment, by any number of processes, the same bytes come out."""

import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from crossmae.errors import UserError
from transfer.frozen.cache import FeatureCache

SAMPLES, CHUNK = 203, 10

FILL = """
import sys
import time
from pathlib import Path
from tests.transfer.frozen.test_cache import cache_in, compute, CHUNK

cache = cache_in(Path(sys.argv[1]))
rank, world = int(sys.argv[2]), int(sys.argv[3])

def slowly(start, stop):
    time.sleep(0.02)
    return compute(start, stop)

print("ready", flush=True)
cache.fill(slowly, CHUNK, rank, world, lambda images: None)
if world == 1:
    cache.finish(CHUNK)
"""


def cache_in(folder: Path, key: str = "some") -> FeatureCache:
    return FeatureCache(folder, {"key": key}, SAMPLES, (2, 300), "float16")


def compute(start: int, stop: int) -> NDArray[np.float32]:
    return np.stack([np.random.default_rng(sample).normal(size=(2, 300)) for sample in range(start, stop)]).astype("f4")


def started(folder: Path, rank: int = 0, world: int = 1) -> "subprocess.Popen[bytes]":
    """A process that fills the cache; it has begun."""
    command = [sys.executable, "-c", FILL, str(folder), str(rank), str(world)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[3])
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(cache_in(folder).path.iterdir())}


@pytest.fixture
def whole(tmp_path: Path) -> dict[str, bytes]:
    """The files of a cache that was filled without interruption."""
    cache = cache_in(tmp_path / "whole")
    cache.fill(compute, CHUNK, 0, 1, lambda images: None)
    cache.finish(CHUNK)
    assert np.array_equal(cache.open(), compute(0, SAMPLES).astype("f2"))
    assert not cache.parts.exists()
    return content(tmp_path / "whole")


@pytest.mark.slow
def test_killed_at_random_moments_and_resumed_it_is_byte_identical(whole: dict[str, bytes], tmp_path: Path) -> None:
    moments = random.SystemRandom()
    kills = 0
    for _ in range(10):
        process = started(tmp_path / "killed")
        time.sleep(moments.uniform(0, 0.1))
        process.send_signal(signal.SIGKILL)
        kills += process.wait() == -signal.SIGKILL
    assert kills >= 3
    assert started(tmp_path / "killed").wait() == 0
    assert content(tmp_path / "killed") == whole


def test_two_processes_compute_every_sample_once(whole: dict[str, bytes], tmp_path: Path) -> None:
    cache = cache_in(tmp_path / "two")
    computed: list[int] = []

    def noting(start: int, stop: int) -> NDArray[np.float32]:
        computed.extend(range(start, stop))
        return compute(start, stop)

    for rank in range(2):
        cache.fill(noting, CHUNK, rank, 2, lambda images: None)
    cache.finish(CHUNK)
    assert sorted(computed) == list(range(SAMPLES))
    assert content(tmp_path / "two") == whole


@pytest.mark.slow
def test_two_runs_at_once_end_with_the_same_bytes(whole: dict[str, bytes], tmp_path: Path) -> None:
    processes = [started(tmp_path / "both") for _ in range(2)]
    assert [process.wait() for process in processes] == [0, 0]
    assert content(tmp_path / "both") == whole
    assert [path.name for path in (tmp_path / "both").iterdir()] == [cache_in(tmp_path).path.name]


def test_a_damaged_chunk_is_computed_again(whole: dict[str, bytes], tmp_path: Path) -> None:
    cache = cache_in(tmp_path / "damaged")
    cache.fill(compute, CHUNK, 0, 1, lambda images: None)
    for path, size in zip(sorted(cache.parts.iterdir())[:2], (1000, 0), strict=True):
        damaged = bytearray(path.read_bytes())[: size or None]
        damaged[-1] ^= 1
        path.write_bytes(damaged)
    with pytest.raises(FileNotFoundError):
        cache.finish(CHUNK)
    cache.fill(compute, CHUNK, 0, 1, lambda images: None)
    cache.finish(CHUNK)
    assert content(tmp_path / "damaged") == whole


def test_damaged_features_are_refused(whole: dict[str, bytes], tmp_path: Path) -> None:
    path = cache_in(tmp_path / "whole").path / "features.npy"
    damaged = bytearray(whole["features.npy"])
    damaged[-1] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(UserError, match="remove the folder"):
        cache_in(tmp_path / "whole").open()


def test_a_full_disk_is_one_line_before_anything_is_computed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(10, 9, 1))
    with pytest.raises(UserError, match="free some space"):
        cache_in(tmp_path).require_space()


def test_numbers_beyond_the_kept_precision_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="dtype=fp32"):
        cache_in(tmp_path).fill(lambda start, stop: compute(start, stop) * 1e6, CHUNK, 0, 1, lambda images: None)
