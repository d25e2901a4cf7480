"""Pictures and tasks for the tests of labelled images."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from crossmae.data.demo.scenes import SceneSource
from transfer.classification.task import ClassificationTask
from transfer.datasets import demo
from transfer.datasets.reader import Size
from transfer.task import TaskSpec


def save_image(path: Path, mode: str = "RGB", side: int = 20) -> None:
    """A noisy picture of any mode, in the format that the suffix names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(len(str(path))).integers(0, 255, (side, side, 3), dtype=np.uint8)
    Image.fromarray(noise).convert(mode).save(path)


def write_imagenet(root: Path, train: int = 48, val: int = 50) -> None:
    """The demo's ImageNet of six classes with fewer images."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "IMAGENET_SIZE", Size(6, train, val))
        demo.write_imagenet(root, SceneSource(0))


def write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def task(reader: str) -> ClassificationTask:
    """The task over the data set that ``reader`` reads."""
    return ClassificationTask(
        TaskSpec(
            name="a_task",
            version=1,
            title="A task",
            adapter="transfer.classification.task:ClassificationTask",
            dataset=reader,
            metrics=("top1", "top5"),
            recipes="transfer.classification",
            options={"reader": reader},
        )
    )
