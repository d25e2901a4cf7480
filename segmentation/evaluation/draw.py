"""Drawn predictions: image, annotation and prediction side by side."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from numpy.typing import NDArray
from PIL import Image

IGNORED = 255
GAP = 4


def draw(model: Any, dataset: Any, folder: Path, count: int) -> list[Path]:
    """Writes ``folder/NAME.png`` for ``count`` images spread evenly over ``dataset``; returns the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    return [_save(picture, folder / f"{name}.png") for name, picture in _pictures(model, dataset, count)]


def _pictures(model: Any, dataset: Any, count: int) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    palette = np.zeros((256, 3), np.uint8)
    palette[: len(dataset.metainfo["palette"])] = dataset.metainfo["palette"]
    model.eval()
    for index in np.linspace(0, len(dataset) - 1, min(count, len(dataset))).astype(int):
        with torch.no_grad():
            sample = model.test_step(pseudo_collate([dataset[int(index)]]))[0]
        image = cv2.cvtColor(cv2.imread(sample.img_path), cv2.COLOR_BGR2RGB)
        labels = (sample.gt_sem_seg.data[0], sample.pred_sem_seg.data[0])
        panels = [image, *(_blend(image, palette, label.cpu().numpy()) for label in labels)]
        yield Path(sample.img_path).stem, _side_by_side(panels)


def _blend(image: NDArray[np.uint8], palette: NDArray[np.uint8], label: NDArray[np.int64]) -> NDArray[np.uint8]:
    mixed = (image.astype(int) + palette[label]) // 2
    return np.where((label == IGNORED)[..., None], image // 2, mixed).astype(np.uint8)


def _side_by_side(panels: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    gap = np.full((panels[0].shape[0], GAP, 3), 255, np.uint8)
    return np.concatenate([part for panel in panels for part in (gap, panel)][1:], axis=1)


def _save(picture: NDArray[np.uint8], path: Path) -> Path:
    Image.fromarray(picture).save(path)
    return path
