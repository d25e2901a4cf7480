"""Each task, killed or stopped at a random moment and started again, ends as if nothing had been."""

import random
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from crossmae.data.demo.scenes import SceneSource
from tests.support.interrupting import Bench
from tests.support.labelled_images import write_imagenet

pytestmark = pytest.mark.slow


def write_coco(root: Path) -> None:
    from detection.data.demo import write_demo

    write_demo(root, SceneSource(0), {"train": 48, "val": 9})


def write_ade20k(root: Path) -> None:
    from segmentation.data import demo

    demo.write(root, SceneSource(0), {"training": 12, "validation": 5})


TASKS: dict[str, tuple[str, Callable[[Path], None], tuple[str, ...]]] = {
    "imagenet_finetune": (
        "imagenet",
        write_imagenet,
        ("steps=40", "global_batch=16", "warmup_epochs=1", "checkpoint_every=6"),
    ),
    "coco_vitdet": (
        "coco",
        write_coco,
        ("steps=16", "global_batch=4", "milestones=[12]", "warmup_steps=2", "checkpoint_every=3"),
    ),
    "ade20k_upernet": (
        "ade20k",
        write_ade20k,
        ("steps=24", "warmup_steps=2", "global_batch=4", "checkpoint_every=5"),
    ),
}


@pytest.mark.parametrize("task", TASKS)
def test_an_interrupted_run_ends_as_an_uninterrupted_one(task: str, tmp_path: Path) -> None:
    dataset, write, changes = TASKS[task]
    write(tmp_path / "data" / dataset)
    bench = Bench(tmp_path / "runs", task, "random:vit_demo", tmp_path / "data", changes)
    whole = bench.whole("whole")
    assert len(whole.losses) >= 16
    for number in (signal.SIGKILL, random.choice((signal.SIGTERM, signal.SIGINT))):
        step = random.randint(1, len(whole.losses) - 4)
        again = bench.interrupted(number.name, number, step)
        assert again.losses == whole.losses, f"{number.name} after update {step}"
        assert again.metrics == whole.metrics, f"{number.name} after update {step}"
