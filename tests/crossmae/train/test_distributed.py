import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.support import toy

SCRIPT = Path(toy.__file__)
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def two_processes(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*TORCHRUN, SCRIPT, folder, *options], env=ENVIRONMENT, capture_output=True, text=True, check=False
    )


def losses(folder: Path) -> torch.Tensor:
    lines = (folder / "losses.txt").read_text().splitlines()
    return torch.tensor([float(line.split()[1]) for line in lines])


def samples_by_update(folder: Path) -> list[list[str]]:
    """What all processes together saw in each update, in no particular order within it."""
    files = [path.read_text().splitlines() for path in sorted(folder.glob("seen-*.txt"))]
    share = toy.PLAN.global_batch // len(files)
    return [sorted(line for seen in files for line in seen[s * share : (s + 1) * share]) for s in range(60)]


@pytest.mark.slow
def test_one_process_two_processes_and_accumulation_do_the_same(tmp_path: Path) -> None:
    one = toy.run(toy.Toy(tmp_path / "one"))
    accumulated = toy.run(toy.Toy(tmp_path / "four"), execution=replace(toy.EXECUTION, per_device_batch=4))
    result = two_processes(tmp_path / "two")
    assert result.returncode == 0, result.stderr

    for other in ("four", "two"):
        assert samples_by_update(tmp_path / other) == samples_by_update(tmp_path / "one")
    # Dropout and noise are drawn per micro-batch, so only runs of equal micro-batches draw alike.
    eights = toy.run(toy.Toy(tmp_path / "eights"), execution=replace(toy.EXECUTION, per_device_batch=8))
    torch.testing.assert_close(losses(tmp_path / "two"), losses(tmp_path / "eights"), rtol=1e-5, atol=1e-6)
    final = torch.load(tmp_path / "two" / "final.pt", weights_only=True)
    torch.testing.assert_close(final, dict(eights.model.state_dict()), rtol=1e-4, atol=1e-6)
    assert accumulated.step == one.step == 60


@pytest.mark.slow
def test_a_nan_on_one_rank_stops_both_with_the_same_line(tmp_path: Path) -> None:
    result = two_processes(tmp_path, "poisoned=7")

    lines = [line for line in result.stdout.splitlines() if line.startswith("error:")]
    assert len(lines) == 2
    assert lines[0] == lines[1]
    assert "loss of rank 1" in lines[0]
    (listing,) = (tmp_path / "nonfinite").glob("*.samples.json")
    assert list(json.loads(listing.read_text())) == ["rank 1"]
    assert "sample-7" in listing.read_text()


@pytest.mark.slow
def test_sigterm_to_torchrun_stops_both_with_a_saved_state(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [*TORCHRUN, SCRIPT, tmp_path, "delay=0.05", "steps=400"],
        env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while not (tmp_path / "losses.txt").exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    started = time.monotonic()
    output, _ = process.communicate()

    assert time.monotonic() - started < 10
    stopped = [line for line in output.splitlines() if line.startswith("stopped:")]
    assert len(stopped) == 2
    assert stopped[0] == stopped[1]
    update = int(stopped[0].split("after update ")[1].split()[0])
    fitted = toy.run(toy.Toy(tmp_path), replace(toy.PLAN, steps=400), replace(toy.EXECUTION, per_device_batch=8))
    assert fitted.step == 400
    updates = [int(line.split()[0]) for line in (tmp_path / "losses.txt").read_text().splitlines()]
    assert updates == list(range(1, 401))
    assert update < 400


@pytest.mark.slow
def test_a_killed_worker_is_restarted_by_torchrun_and_the_result_is_the_same(tmp_path: Path) -> None:
    undisturbed = two_processes(tmp_path / "undisturbed")
    assert undisturbed.returncode == 0
    process = subprocess.Popen(
        [*TORCHRUN, "--max-restarts=1", SCRIPT, tmp_path / "killed", "delay=0.05"], env=ENVIRONMENT,
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    while len(list((tmp_path / "killed" / "state").glob("step-*.pt"))) < 2:
        time.sleep(0.05)
    workers = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=True)
    os.kill(int(workers.stdout.split()[-1]), signal.SIGKILL)
    output, _ = process.communicate()

    assert process.returncode == 0
    assert "resumed at step" in output
    one, other = (torch.load(tmp_path / name / "final.pt", weights_only=True) for name in ("undisturbed", "killed"))
    torch.testing.assert_close(one, other, rtol=0, atol=0)
