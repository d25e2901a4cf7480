"""Every kind of training runs on a GPU that mimics one: no tensor is on the wrong device, the losses are the CPU's."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from crossmae.data.demo.scenes import SceneSource
from crossmae.data.demo.write import write_unlabelled
from detection.data.demo import write_demo as write_coco
from segmentation.data.demo import write as write_ade20k
from tests.support.labelled_images import write_imagenet
from transfer.harness.plan.tasks import load_specs

CLASSIFICATION = ("steps=4", "warmup_epochs=0", "device=auto", "evaluate_every_epochs=null", "log_every=1")
WRITERS: dict[str, Callable[[Path], None]] = {
    "pretrain": partial(write_unlabelled, count=200),
    "imagenet": partial(write_imagenet, train=200, val=70),
    "coco": partial(write_coco, scenes=SceneSource(0), counts={"train": 60, "val": 6}),
    "ade20k": partial(write_ade20k, scenes=SceneSource(0), counts={"training": 24, "validation": 6}),
}
UPDATE = ("crossmae/train/step.py", "crossmae/train/monitor/health.py", "crossmae/model/", "crossmae/pretraining/")
"""Where lines of an update lie, as the engine of pretraining and classification makes it."""
BEFORE_AN_UPDATE = ".to(world.device)"


@pytest.fixture(scope="session")
def data_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Writes a few images of a task's demo data, once."""
    folder = tmp_path_factory.mktemp("data")

    def write(name: str) -> Path:
        root = folder / str(load_specs()[name].dataset)
        if not root.exists():
            WRITERS[root.name](root)
        return root

    return write


def run(library: Path, data: Path, folder: Path, task: str, recipe: str, *overrides: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.cuda_without_gpu.run_task", str(library), task, recipe]
    done = subprocess.run(
        [*command, str(data), str(folder / "run"), *overrides], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr[-4000:]
    outcomes: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return outcomes


def same_losses(outcomes: dict[str, Any]) -> None:
    cpu, gpu = (dict(outcomes[place]["curve"]) for place in ("cpu", "gpu"))
    assert gpu == pytest.approx(cpu, rel=1e-5)
    assert len(gpu) > 1


def waits_of_updates(outcomes: dict[str, Any]) -> set[str]:
    waits = outcomes["gpu"]["waits"]
    assert any(BEFORE_AN_UPDATE in wait for wait in waits), "the model's way to the GPU is seen"
    lines = Counter(wait for wait in waits if any(room in wait for room in UPDATE) and BEFORE_AN_UPDATE not in wait)
    # What happens once, such as the constants of normalisation, is set-up.
    return {line for line, times in lines.items() if times > 1}


@pytest.mark.slow
def test_pretraining(guard_library: Path, data_of: Callable[[str], Path], tmp_path: Path) -> None:
    short = ("steps=6", "warmup_steps=2", "log_every=2", "checkpoint_every=5")
    outcomes = run(guard_library, data_of("pretrain"), tmp_path, "pretrain", "demo_crossmae", *short)
    same_losses(outcomes)
    assert waits_of_updates(outcomes) == set()


@pytest.mark.slow
def test_fine_tuning(guard_library: Path, data_of: Callable[[str], Path], tmp_path: Path) -> None:
    data = data_of("imagenet_finetune")
    outcomes = run(guard_library, data, tmp_path, "imagenet_finetune", "demo", *CLASSIFICATION)
    same_losses(outcomes)
    assert waits_of_updates(outcomes) == set()
    assert outcomes["gpu"]["metrics"] == pytest.approx(outcomes["cpu"]["metrics"], abs=0.2)


@pytest.mark.slow
def test_linear_probe(guard_library: Path, data_of: Callable[[str], Path], tmp_path: Path) -> None:
    outcomes = run(guard_library, data_of("imagenet_linear"), tmp_path, "imagenet_linear", "demo", *CLASSIFICATION)
    same_losses(outcomes)
    # LARS has no fused kernel that leaves an update out by itself: the host asks once.
    assert all("health.blocked.item()" in wait for wait in waits_of_updates(outcomes))


@pytest.mark.slow
def test_vitdet(guard_library: Path, data_of: Callable[[str], Path], tmp_path: Path) -> None:
    short = ("steps=2", "milestones=[1, 2]", "warmup_steps=1", "drawn_images=2", "log_every=1")
    outcomes = run(guard_library, data_of("coco_vitdet"), tmp_path, "coco_vitdet", "demo", *short)
    same_losses(outcomes)


@pytest.mark.slow
def test_upernet(guard_library: Path, data_of: Callable[[str], Path], tmp_path: Path) -> None:
    short = ("steps=2", "warmup_steps=1", "evaluate_every=2", "log_every=1")
    outcomes = run(guard_library, data_of("ade20k_upernet"), tmp_path, "ade20k_upernet", "demo", *short)
    # A GPU takes another backbone class with the same function, whose construction draws other numbers before the
    # heads are initialised: the losses are near, not equal.
    cpu, gpu = (dict(outcomes[place]["curve"]) for place in ("cpu", "gpu"))
    assert gpu == pytest.approx(cpu, rel=0.1)
