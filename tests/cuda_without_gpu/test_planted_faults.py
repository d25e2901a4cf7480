"""Faults that only a GPU would show, planted into a copy of the project, are each found without one."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

HEALTH, MASKING = "crossmae/train/monitor/health.py", "crossmae/model/masking.py"
STEP, WORKLOAD = "crossmae/train/step.py", "crossmae/pretraining/workload.py"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The packages and these tests, to be spoilt."""
    for name in ("crossmae", "transfer", "results", "tests/cuda_without_gpu"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "assets"))
    return tmp_path


def watch(copy: Path, library: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "tests.cuda_without_gpu.shapes", str(library), "shallow", "crossmae25_vit_b16"]
    environment = {**os.environ, "PYTHONPATH": str(copy)}
    return subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=copy, env=environment)


def plant(copy: Path, file: str, line: str, fault: str) -> None:
    text = (copy / file).read_text()
    assert text.count(line) == 1, f"{file} no longer holds {line!r}: plant the fault elsewhere"
    (copy / file).write_text(text.replace(line, fault))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "line", "fault", "wait"),
    [
        (HEALTH, "report[1].fill_(float(stop))", "report[1] = float(stop)", "copy from cpu to cuda"),
        (STEP, "        return norm\n", "        return norm if norm.item() > 0 else norm\n", "_local_scalar_dense"),
        (STEP, "losses.append(loss.detach().float())", "losses.append(loss.detach().float().cpu())", "copy from cuda"),
    ],
    ids=["a number assigned", "a norm read", "a loss fetched"],
)
def test_a_wait_of_the_host_is_found(
    copy: Path, guard_library: Path, file: str, line: str, fault: str, wait: str
) -> None:
    plant(copy, file, line, fault)
    done = watch(copy, guard_library)
    assert done.returncode == 0, done.stderr[-2000:]
    (update,) = json.loads(done.stdout.splitlines()[-1]).values()
    assert any(wait in found for found in update["waits"]), update


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "line", "fault"),
    [
        (MASKING, "row = torch.arange(patch_size, device=ids.device)", "row = torch.arange(patch_size)"),
        (WORKLOAD, "torch.tensor([MEAN, STD], device=device)", "torch.tensor([MEAN, STD])"),
    ],
    ids=["an index made on the CPU", "constants made on the CPU"],
)
def test_a_tensor_on_the_wrong_device_is_found(
    copy: Path, guard_library: Path, file: str, line: str, fault: str
) -> None:
    plant(copy, file, line, fault)
    done = watch(copy, guard_library)
    assert done.returncode != 0
    assert "cuda:0" in done.stderr
    assert "cpu" in done.stderr
