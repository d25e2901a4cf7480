"""mmsegmentation's IoU metric under this project's names, with per-image results."""

from typing import Any

import torch
from mmengine.registry import METRICS
from mmseg.evaluation import IoUMetric

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

    def compute_metrics(self, results: list[tuple[torch.Tensor, ...]]) -> dict[str, float]:
        """Metrics over ``results``: per image the areas of intersection, union, prediction and label, by class."""
        metrics = {NAMES[name]: round(float(value), 2) for name, value in super().compute_metrics(results).items()}
        intersection, union, _, _ = (torch.stack(areas).double() for areas in zip(*results, strict=True))
        self.images = [_of_image(result) for result in results]
        if self.background is not None:
            kept = [label for label in range(union.shape[1]) if label != self.background]
            metrics["miou_foreground"] = _percent(intersection.sum(0)[kept], union.sum(0)[kept])
        return metrics


def _of_image(result: tuple[torch.Tensor, ...]) -> tuple[float, float]:
    intersection, union, _, label = result
    return _percent(intersection, union), 100 * float(intersection.sum() / label.sum())


def _percent(part: torch.Tensor, whole: torch.Tensor) -> float:
    return round(100 * float((part / whole).nanmean()), 2)
