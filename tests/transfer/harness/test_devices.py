"""Packing: no device for two runs at a time, and none idle that a run could have."""

import pytest

from crossmae.errors import UserError
from transfer.harness.devices import Pool, find_pool

EIGHT = "0,1,2,3,4,5,6,7"


def spans(bench, seeds):
    """Per run: the devices it saw, and when it began and ended."""
    found = []
    for seed in range(seeds):
        folder = bench.run_folder("counting", seed)
        times = [float(line.split()[0]) for line in (folder / "writers.txt").read_text().splitlines()]
        found.append(((folder / "devices.txt").read_text(), times[0], times[-1]))
    return found


def test_eight_runs_fill_eight_devices(bench):
    bench.options = ("--devices", EIGHT)
    bench.suite(tasks=("counting",), seeds=8, counting=["seconds_per_step=0.4"])
    code, output = bench.run()
    assert code == 0, output
    found = spans(bench, 8)
    assert sorted(devices for devices, _, _ in found) == EIGHT.split(",")
    assert max(begin for _, begin, _ in found) < min(end for _, _, end in found)


@pytest.mark.slow
def test_no_device_is_given_to_two_runs(bench):
    """Six runs of three devices each on eight devices: two at a time."""
    bench.options = ("--devices", EIGHT)
    content = bench.suite_content({"counting": "quick"}, seeds=6)
    bench.write_suite({**content, "devices": {"counting": 3}})
    code, output = bench.run()
    assert code == 0, output
    found = [(set(devices.split(",")), begin, end) for devices, begin, end in spans(bench, 6)]
    for index, (devices, begin, end) in enumerate(found):
        assert len(devices) == 3
        for others, other_begin, other_end in found[index + 1 :]:
            assert not devices & others or end <= other_begin or other_end <= begin


def test_devices_come_back_in_order():
    pool = Pool(("0", "1", "2", "3"), gpus=True, cores=8)
    first, second = pool.take(2), pool.take(2)
    assert pool.take(1) is None
    pool.give_back(second)
    pool.give_back(first)
    assert pool.take(4) == ("0", "1", "2", "3")


@pytest.mark.parametrize("asked", ["cpu:0", "cpu:x", "gpu"])
def test_nonsense_is_refused(asked):
    with pytest.raises(UserError, match="--devices"):
        find_pool(asked)


def test_gpus_of_the_environment_are_the_pool(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
    assert find_pool().names == ("2", "5")
    assert find_pool("cpu").gpus is False
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert find_pool().gpus is False
