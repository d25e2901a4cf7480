"""Pictures and tasks for the tests of labelled images."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from transfer.classification.task import ClassificationTask
from transfer.task import TaskSpec


def save_image(path: Path, mode: str = "RGB", side: int = 20) -> None:
    """A noisy picture of any mode, in the format that the suffix names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(len(str(path))).integers(0, 255, (side, side, 3), dtype=np.uint8)
    Image.fromarray(noise).convert(mode).save(path)


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
