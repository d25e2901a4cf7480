"""Exact top-1 and top-5 accuracy, over any number of processes."""

import pandas as pd
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.utils.data import DataLoader

from crossmae.files import write_atomically
from transfer.classification.images import EvaluationImages
from transfer.datasets.labelled import LabelledImages
from transfer.task import Context

MACRO = "top1_macro"
"""The mean of the classes' accuracies: a metric of data whose classes may be uneven."""

Outcomes = dict[str, Tensor]
"""``prediction`` (N,) of all N images of a split, and ``rank`` (N,): how many classes score above the right one."""


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
    outcomes = torch.full((heads, 2, len(images.images)), -1, dtype=torch.int64, device=device)
    loader = DataLoader(images, batch_size=batch, num_workers=workers, pin_memory=device.type == "cuda")
    for pixels, labels, index in loader:
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            scores = model(pixels.to(device, non_blocking=True)).float()
        for head, head_scores in enumerate(scores.reshape(heads, len(pixels), -1)):
            outcome = torch.stack([head_scores.argmax(1), label_rank(head_scores, labels.to(device))])
            outcomes[head, :, index.to(device)] = outcome
    if dist.is_initialized():
        dist.all_reduce(outcomes, op=dist.ReduceOp.MAX)
    assert int(outcomes.min()) >= 0, "an image was not evaluated"
    return tuple({"prediction": head_outcomes[0], "rank": head_outcomes[1]} for head_outcomes in outcomes.cpu())


def label_rank(scores: Tensor, labels: Tensor) -> Tensor:
    """How many classes score above the right one, (N,) from scores (N, C); among equals the lower class number wins."""
    right = scores.gather(1, labels[:, None])
    earlier = torch.arange(scores.shape[1], device=scores.device)[None] < labels[:, None]
    return ((scores > right) | ((scores == right) & earlier)).sum(dim=1)


def top_k(outcomes: Outcomes, k: int) -> float:
    """Percent of images whose right class is among the ``k`` best."""
    return 100.0 * float((outcomes["rank"] < k).double().mean())


def score_classes(images: LabelledImages, outcomes: Outcomes, context: Context) -> float:
    """Mean over the classes of their accuracy in percent, which ``classes.csv`` of the run's folder lists."""
    right = pd.Series((outcomes["rank"] < 1).numpy()).groupby(images.labels)
    table = pd.DataFrame({"images": right.size(), "top1": (100 * right.mean()).round(2)})
    table.insert(0, "class", [images.classes[label] for label in table.index])
    path = context.folder / "classes.csv"
    write_atomically(path, lambda part: table.to_csv(part, index=False))
    context.artifact("classes", path)
    return float(100 * right.mean().mean())


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
