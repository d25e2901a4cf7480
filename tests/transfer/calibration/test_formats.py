"""Finished models of all three engines, in the formats of the released files, through the command lines."""

import json
import pickle
import subprocess
import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

from crossmae.backbone import Backbone
from crossmae.data.demo.scenes import SceneSource
from tests.support.labelled_images import write_imagenet
from transfer.harness.plan.tasks import load_specs, recipe_of
from transfer.harness.worker.adapter import load_adapter
from transfer.task import Context

SHORT = {
    "imagenet_finetune": ("steps=20", "warmup_epochs=1", "log_every=5"),
    "coco_vitdet": ("steps=20", "global_batch=8", "milestones=[18]", "warmup_steps=2", "layer_decay=1.0"),
    "ade20k_upernet": ("steps=12", "warmup_steps=2", "global_batch=4"),
}


def write_coco(root: Path) -> None:
    from detection.data.demo import write_demo

    write_demo(root, SceneSource(0), {"train": 48, "val": 9}, crowds=0.4)


def write_ade20k(root: Path) -> None:
    from segmentation.data import demo

    demo.write(root, SceneSource(0), {"training": 12, "validation": 5})


def as_mae_releases(run: Path, to: Path) -> None:
    """A PyTorch file with the options of the run as a Namespace."""
    state = load_file(run / "classifier.safetensors")
    torch.save({"model": state, "epoch": 99, "args": Namespace(model="vit_demo", num_heads=2)}, to)


def as_detectron2_releases(run: Path, to: Path) -> None:
    """A pickle of arrays, as the model zoo's, with the constants that older files hold besides the weights."""
    state = torch.load(run / "model_final.pth", weights_only=True)["model"]
    arrays = {name: weight.numpy() for name, weight in state.items()}
    arrays["proposal_generator.anchor_generator.cell_anchors.0"] = torch.zeros(3, 4).numpy()
    to.write_bytes(pickle.dumps({"model": arrays, "__author__": "Detectron2 Model Zoo"}))


def as_mmsegmentation_releases(run: Path, to: Path) -> None:
    """An mmengine checkpoint without its optimizer, as ``publish_model.py`` leaves it."""
    state = torch.load(run / "upernet.pth", weights_only=True)["state_dict"]
    meta = {"mmseg_version": "0.24.0", "CLASSES": ("wall", "building"), "PALETTE": [[120, 120, 120], [180, 120, 120]]}
    torch.save({"meta": meta, "state_dict": state}, to)


RELEASES: dict[str, tuple[str, Callable[[Path], None], Callable[[Path, Path], None], tuple[str, ...]]] = {
    "imagenet_finetune": ("finetuned.pth", write_imagenet, as_mae_releases, ("top1", "top5")),
    "coco_vitdet": ("model_final.pkl", write_coco, as_detectron2_releases, ("box_ap", "mask_ap")),
    "ade20k_upernet": ("upernet.pth", write_ade20k, as_mmsegmentation_releases, ("miou", "aacc", "macc")),
}


def train(task: str, folder: Path) -> dict[str, float]:
    spec = load_specs()[task]
    folder.mkdir(parents=True)
    context = Context(folder, folder.parents[1] / spec.dataset if spec.dataset else None, seed=0)
    recipe = recipe_of(spec, "demo", SHORT[task])
    return load_adapter(spec).run(Backbone.load("random:vit_demo"), recipe, context)


def command(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    roots = [option for name in ("imagenet", "coco", "ade20k") for option in ("--data", f"{name}={name}")]
    code = "from transfer.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *words, *roots], cwd=folder, capture_output=True, text=True, timeout=300
    )


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, dict[str, float]]]:
    """A folder with data, trained models and their releases, and what training reported."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("formats")
    (folder / "weights").mkdir()
    metrics = {}
    for task, (file, write, release, _) in RELEASES.items():
        write(folder / str(load_specs()[task].dataset))
        metrics[task] = train(task, folder / "runs" / task)
        release(folder / "runs" / task, folder / "weights" / file)
    return folder, metrics


@pytest.mark.slow
@pytest.mark.parametrize("task", RELEASES)
def test_evaluate_gives_what_training_reported(task: str, reported: tuple[Path, dict[str, dict[str, float]]]) -> None:
    folder, metrics = reported
    file, _, _, names = RELEASES[task]
    done = command(folder, "evaluate", task, "--weights", f"weights/{file}", "--recipe", "demo")
    assert done.returncode == 0, done.stderr
    (record,) = (folder / "runs" / "evaluation" / task).glob("*/*/record.json")
    measured = json.loads(record.read_text())["metrics"]
    for name in names:
        assert measured[name] == pytest.approx(metrics[task][name], abs=1e-9)
        assert any(
            line.split("│")[1].strip() == name and line.split("│")[2].strip() == f"{measured[name]:.2f}"
            for line in done.stdout.splitlines()
            if line.startswith("│")
        )


@pytest.mark.slow
def test_calibrate_reproduces_all_three_engines(reported: tuple[Path, dict[str, dict[str, float]]]) -> None:
    folder, metrics = reported
    models: dict[str, Any] = {
        f"released_{task}": {
            "title": task,
            "task": task,
            "recipe": "demo",
            "file": file,
            "url": f"https://example.org/{file}",
            "expected": {name: round(float(metrics[task][name]), 1) for name in names},
            "band": 0.1,
        }
        for task, (file, _, _, names) in RELEASES.items()
    }
    (folder / "registry.yaml").write_text(yaml.safe_dump(models))
    done = command(folder, "calibrate", "--weights", "weights", "--registry", "registry.yaml")
    print(done.stdout)
    assert "reproduces the published numbers of all 3 released models on disk" in done.stdout, done.stderr
    assert done.returncode == 0
