"""Exact accuracy, or mean average precision where images have several labels, over any number of processes."""

import numpy as np
import pandas as pd
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader

from transfer.classification.images import EvaluationImages
from transfer.datasets.labelled import LabelledImages
from transfer.task import Context

MACRO = "top1_macro"
"""The mean of the classes' accuracies: a metric of data whose classes may be uneven."""

MEAN_AP = "mean_ap"
"""The mean of the classes' average precision in percent, of images with several labels."""

Outcomes = dict[str, Tensor]
"""``prediction`` (N,) of all N images of a split, and ``rank`` (N,): how many classes score above the right one.

Of images with several labels ``scores`` (N, classes) alone.
"""


@torch.inference_mode()
def predict(
    model: nn.Module, images: EvaluationImages, heads: int, batch: int, workers: int, bf16: bool
) -> tuple[Outcomes, ...]:
    """Classifies this process's share of the images and collects all shares; every image counts exactly once.

    Args:
        model: returns scores (heads, N, classes), or (N, classes) for one head.

    Returns:
        The outcomes of each head.
    """
    device = next(model.parameters()).device
    several = images.images.several
    columns, kind = (len(images.images.classes), torch.float32) if several else (2, torch.int64)
    nothing = -torch.inf if several else -1
    outcomes = torch.full((heads, len(images.images), columns), nothing, dtype=kind, device=device)
    loader = DataLoader(images, batch_size=batch, num_workers=workers, pin_memory=device.type == "cuda")
    for pixels, labels, index in loader:
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            scores = model(pixels.to(device, non_blocking=True)).float()
        for head, head_scores in enumerate(scores.reshape(heads, len(pixels), -1)):
            outcomes[head, index.to(device)] = head_scores if several else _outcome(head_scores, labels.to(device))
    if dist.is_initialized():
        dist.all_reduce(outcomes, op=dist.ReduceOp.MAX)
    assert not bool((outcomes == nothing).all(dim=2).any()), "an image was not evaluated"
    if several:
        return tuple({"scores": of_head} for of_head in outcomes.cpu())
    return tuple({"prediction": of_head[:, 0], "rank": of_head[:, 1]} for of_head in outcomes.cpu())


def _outcome(scores: Tensor, labels: Tensor) -> Tensor:
    return torch.stack([scores.argmax(dim=1), label_rank(scores, labels)], dim=1)


def measure(images: LabelledImages, outcomes: Outcomes) -> dict[str, float]:
    """``top1`` and ``top5``, or ``mean_ap`` where images have several labels, in percent."""
    if images.several:
        return {MEAN_AP: float(np.nanmean(average_precisions(outcomes["scores"].numpy(), images.labels)))}
    return {"top1": top_k(outcomes, 1), "top5": top_k(outcomes, 5)}


def average_precisions(scores: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Average precision of each class in percent, (C,) from scores and labels (N, C); not a number without any image.

    The sum over thresholds of precision times the rise of recall, without interpolation, as scikit-learn has it; images
    of one score share a threshold.
    """
    return np.array([_average_precision(*of_class) for of_class in zip(scores.T, labels.T, strict=True)])


def _average_precision(scores: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    if not labels.any():
        return np.nan
    order = np.argsort(-scores, kind="stable")
    thresholds = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    found = np.cumsum(labels[order])[thresholds]
    rises = np.diff(found, prepend=0) / found[-1]
    return 100 * float((found / (thresholds + 1) * rises).sum())


def label_rank(scores: Tensor, labels: Tensor) -> Tensor:
    """How many classes score above the right one, (N,) from scores (N, C); among equals the lower class number wins."""
    right = scores.gather(1, labels[:, None])
    earlier = torch.arange(scores.shape[1], device=scores.device)[None] < labels[:, None]
    return ((scores > right) | ((scores == right) & earlier)).sum(dim=1)


def top_k(outcomes: Outcomes, k: int) -> float:
    """Percent of images whose right class is among the ``k`` best."""
    return 100.0 * float((outcomes["rank"] < k).double().mean())


def score_classes(images: LabelledImages, outcomes: Outcomes, context: Context) -> float:
    """Mean over the classes of their accuracy, or average precision, in percent; each is left for the report."""
    if images.several:
        name, values = "ap", average_precisions(outcomes["scores"].numpy(), images.labels)
    else:
        right = (outcomes["rank"] < 1).numpy()
        hits, counts = np.bincount(images.labels, right, minlength=len(images.classes)), images.counts()
        name, values = "top1", 100 * hits / np.where(counts, counts, np.nan)
    context.classes(images.classes, images.counts().tolist(), {name: values.tolist()})
    return float(np.nanmean(values))


def sample_table(images: LabelledImages, outcomes: Outcomes) -> pd.DataFrame:
    """One row per validation image: its path, label, prediction, and whether it counts for top-1 and top-5."""
    rank = outcomes["rank"].numpy()
    return pd.DataFrame(
        {
            "sample": images.files,
            "label": images.labels,
            "prediction": outcomes["prediction"].numpy(),
            "top1": (rank < 1).astype(int),
            "top5": (rank < 5).astype(int),
        }
    )
