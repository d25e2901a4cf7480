"""Packing: no device for two runs at a time, and none idle that a run could have."""

import pytest

from crossmae.errors import UserError
from tests.support.bench import Bench
from transfer.harness.launch.devices import Pool, find_pool


def spans(bench: Bench) -> list[tuple[list[str], float, float]]:
    """Per run: the devices that its processes saw, and when it began and ended."""
    runs = []
    for file in (bench.folder / "out").glob("*/random/*/writers.txt"):
        times = [float(line.split()[0]) for line in file.read_text().splitlines()]
        runs.append((file.with_name("devices.txt").read_text().split(","), min(times), max(times)))
    return runs


@pytest.mark.slow
def test_eight_runs_fill_eight_devices(bench: Bench) -> None:
    bench.pretend_gpus(8)
    bench.suite(tasks=("counting",), seeds=8, counting=["seconds_per_step=0.4"])
    code, output = bench.run()
    assert code == 0, output
    runs = spans(bench)
    assert sorted(devices for devices, _, _ in runs) == [[name] for name in "01234567"]
    assert max(begin for _, begin, _ in runs) < min(end for _, _, end in runs)


@pytest.mark.slow
def test_no_device_is_given_to_two_runs(bench: Bench) -> None:
    """Runs of three devices and of one, on eight devices."""
    bench.pretend_gpus(8)
    content = bench.suite_content({"counting": "quick", "summing": "quick"}, seeds=4)
    bench.write_suite({**content, "devices": {"counting": 3}})
    code, output = bench.run()
    assert code == 0, output
    runs = spans(bench)
    assert sorted(len(devices) for devices, _, _ in runs) == [1] * 4 + [3] * 4
    for index, (devices, begin, end) in enumerate(runs):
        assert len(set(devices)) == len(devices)
        for others, other_begin, other_end in runs[index + 1 :]:
            assert not {*devices} & {*others} or end <= other_begin or other_end <= begin


def test_devices_come_back_in_order() -> None:
    pool = Pool(("0", "1", "2", "3"), gpus=True, cores=8)
    first, second = pool.take(2), pool.take(2)
    assert first
    assert second
    assert pool.take(1) is None
    pool.give_back(second)
    pool.give_back(first)
    assert pool.take(4) == ("0", "1", "2", "3")


@pytest.mark.parametrize("asked", ["cpu:0", "cpu:x", "gpu", "0,99"])
def test_nonsense_is_refused(asked: str) -> None:
    with pytest.raises(UserError, match="--devices"):
        find_pool(asked)


def test_gpus_of_the_environment_are_the_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
    assert find_pool().names == ("2", "5")
    assert find_pool("cpu").gpus is False
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert find_pool().gpus is False
