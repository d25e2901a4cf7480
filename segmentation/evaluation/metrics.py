"""mmsegmentation's IoU metric under this project's names, with per-image results, and drawn predictions."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from mmengine.registry import METRICS
from mmseg.evaluation import IoUMetric
from numpy.typing import NDArray
from PIL import Image

from crossmae.data.decode import read_pixels

IGNORED = 255
GAP = 4
"""Pixels between the panels of a drawn prediction."""

NAMES = {"mIoU": "miou", "aAcc": "aacc", "mAcc": "macc"}


@METRICS.register_module()
class SegmentationMetric(IoUMetric):
    """``miou``, ``aacc`` and ``macc`` in percent, as IoUMetric computes and rounds them.

    Args:
        background: index of a class that ``miou_foreground``, then also computed, leaves out.
    """

    def __init__(self, background: int | None = None, **kwargs: Any) -> None:
        super().__init__(iou_metrics=["mIoU"], **kwargs)
        self.background = background
        self.images: list[tuple[float, float]] = []
        """Mean IoU over the classes present in image or prediction, and pixel accuracy, both in percent, per image."""
        self.of_classes: list[tuple[int, float]] = []
        """Images that have the class, and its IoU in percent, per class; no number of one that is nowhere."""

    def compute_metrics(self, results: list[tuple[torch.Tensor, ...]]) -> dict[str, float]:
        """Computes metrics from ``results``: per image, areas of intersection, union, prediction and label by class."""
        metrics = {NAMES[name]: round(float(value), 2) for name, value in super().compute_metrics(results).items()}
        intersection, union, _, label = (torch.stack(areas).double() for areas in zip(*results, strict=True))
        self.images = [_of_image(result) for result in results]
        shares = 100 * intersection.sum(0) / union.sum(0)
        self.of_classes = list(zip((label > 0).sum(0).tolist(), shares.tolist(), strict=True))
        if self.background is not None:
            kept = [label for label in range(union.shape[1]) if label != self.background]
            metrics["miou_foreground"] = _percent(intersection.sum(0)[kept], union.sum(0)[kept])
        return metrics


def draw(model: Any, dataset: Any, folder: Path, count: int) -> list[Path]:
    """Draws image, annotation and prediction side by side, for ``count`` images spread evenly over ``dataset``.

    Returns:
        the paths ``folder/NAME.png``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return [_save(picture, folder / f"{name}.png") for name, picture in _pictures(model, dataset, count)]


def _of_image(result: tuple[torch.Tensor, ...]) -> tuple[float, float]:
    intersection, union, _, label = result
    return _percent(intersection, union), 100 * float(intersection.sum() / label.sum())


def _percent(part: torch.Tensor, whole: torch.Tensor) -> float:
    return round(100 * float((part / whole).nanmean()), 2)


def _pictures(model: Any, dataset: Any, count: int) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    palette = np.zeros((256, 3), np.uint8)
    palette[: len(dataset.metainfo["palette"])] = dataset.metainfo["palette"]
    model.eval()
    for index in np.linspace(0, len(dataset) - 1, min(count, len(dataset))).astype(int):
        with torch.no_grad():
            sample = model.test_step(pseudo_collate([dataset[int(index)]]))[0]
        image = read_pixels(Path(sample.img_path))
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
