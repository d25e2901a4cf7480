"""Classification on two gloo processes: the losses, and the metrics of an odd number of images, are those of one."""

import json
import os
import socket
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.multiprocessing.spawn import start_processes

from crossmae.backbone import Backbone
from crossmae.recipe import Recipe
from crossmae.run.progress import ProgressFile
from tests.support.labelled_images import write_imagenet
from transfer.classification.job import make_job
from transfer.datasets.layouts import READERS
from transfer.task import Context

SCRIPT = Path(__file__).parents[2] / "support" / "torchrun" / "train_classifier.py"
FINETUNE = {"method": "finetune", "image_size": 64, "steps": 8, "global_batch": 16, "base_lr": 0.01, "drop_path": 0.2}
LINEAR = {"method": "linear", "image_size": 64, "steps": 8, "global_batch": 16, "base_lr": 10.0}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """48 training images and 51 validation images."""
    folder = tmp_path_factory.mktemp("data") / "imagenet"
    write_imagenet(folder, val=51)
    return folder


def recipe(protocol: dict[str, Any]) -> str:
    """As the script takes it; the micro-batches of one process are those of two."""
    return json.dumps(
        asdict(Recipe("test", "", (), protocol, {"per_device_batch": 8, "device": "cpu", "log_every": 1}))
    )


def launch(processes: int, root: Path, folder: Path, *words: str | Path) -> dict[str, float]:
    """The metrics that the script leaves."""
    folder.mkdir()
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*launcher, SCRIPT, root, folder, *words], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    metrics: dict[str, float] = json.loads((folder / "metrics.json").read_text())
    return metrics


def losses(folder: Path) -> list[float]:
    return [line["loss"] for line in ProgressFile(folder).read() if "loss" in line]


def evaluate_share(rank: int, world: int, root: Path, port: int, out: Path) -> None:
    """One of several processes of a probe, which have normalised other images in training."""
    torch.distributed.init_process_group("gloo", f"tcp://127.0.0.1:{port}", world_size=world, rank=rank)
    train, val = READERS["imagenet"]().read_both(root)
    values = Recipe("test", "", (), LINEAR, {"per_device_batch": 8, "device": "cpu"})
    probe = make_job(Backbone.load("random:vit_demo", seed=3), values, train, val, Context(out, root, seed=5)).workload
    torch.manual_seed(0)
    model = probe.model().eval()
    for statistics in model.buffers():
        statistics.add_(rank)
    probe.evaluate(model)
    assert probe.outcomes is not None
    (out / f"{world}-{rank}").write_text(str(probe.outcomes["prediction"].tolist()))
    torch.distributed.destroy_process_group()


def test_processes_of_a_probe_evaluate_with_the_same_statistics(root: Path, tmp_path: Path) -> None:
    for world in (1, 2):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        start_processes(evaluate_share, args=(world, root, port, tmp_path), nprocs=world, start_method="fork")
    alone, first, second = ((tmp_path / name).read_text() for name in ("1-0", "2-0", "2-1"))
    assert alone == first == second
    assert len(set(json.loads(alone))) > 1


@pytest.mark.slow
@pytest.mark.parametrize("protocol", [FINETUNE, LINEAR], ids=["finetune", "linear"])
def test_two_processes_train_and_evaluate_as_one(protocol: dict[str, Any], root: Path, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    metrics = launch(1, root, one, recipe(protocol))
    together = launch(2, root, two, recipe(protocol))
    assert len(losses(one)) == 8
    assert losses(one)[-1] != losses(one)[0]
    assert losses(two) == pytest.approx(losses(one), rel=1e-5)
    if protocol is FINETUNE:  # A probe's running statistics are those of the first process's images.
        assert together == metrics
    for folder, reported, processes in ((one, metrics, 2), (two, together, 1)):
        classifier = folder / "classifier.safetensors"
        again = launch(processes, root, tmp_path / f"{folder.name}-again", recipe(protocol), classifier)
        assert again == {name: value for name, value in reported.items() if name != "top1_best"}
