"""Classification on two gloo processes: the losses, and the metrics of an odd number of images, are those of one."""

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from crossmae.data.scenes import SceneSource
from crossmae.recipe import Recipe
from crossmae.train.progress import ProgressFile
from transfer.classification import demo
from transfer.classification.datasets.reader import Size

SCRIPT = Path(__file__).with_name("train_in_processes.py")
FINETUNE = {"method": "finetune", "image_size": 64, "steps": 8, "global_batch": 16, "base_lr": 0.01, "drop_path": 0.2}
LINEAR = {"method": "linear", "image_size": 64, "steps": 8, "global_batch": 16, "base_lr": 10.0}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """48 training images and 51 validation images."""
    folder = tmp_path_factory.mktemp("data") / "imagenet"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "IMAGENET_SIZE", Size(6, 48, 51))
        demo.write_imagenet(folder, SceneSource(0))
    return folder


def trained(processes: int, root: Path, folder: Path, protocol: dict[str, Any]) -> tuple[list[float], Any]:
    """The losses, and the metrics of training and of an evaluation afterwards, in as many processes."""
    folder.mkdir()
    execution = {"per_device_batch": 8, "device": "cpu", "log_every": 1}
    recipe = Recipe("a_recipe", "a test", (), protocol, execution)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [*launcher, SCRIPT, root, folder, json.dumps(asdict(recipe))]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    losses = [line["loss"] for line in ProgressFile(folder).read() if "loss" in line]
    return losses, json.loads((folder / "metrics.json").read_text())


@pytest.mark.slow
@pytest.mark.parametrize("protocol", [FINETUNE, LINEAR], ids=["finetune", "linear"])
def test_two_processes_train_and_evaluate_as_one(protocol: dict[str, Any], root: Path, tmp_path: Path) -> None:
    alone, metrics_alone = trained(1, root, tmp_path / "alone", protocol)
    together, metrics = trained(2, root, tmp_path / "together", protocol)
    assert len(alone) == 8
    assert alone[-1] != alone[0]
    assert together == pytest.approx(alone, rel=1e-5)
    assert metrics == metrics_alone
    reported, again = metrics
    assert again == {name: reported[name] for name in again}
