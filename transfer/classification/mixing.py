"""Mixup and cutmix of a batch, and smoothed targets."""

from collections.abc import Callable

import torch
from torch import Tensor

from transfer.classification.values import FinetuneValues

Mix = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Images (N, 3, H, W) and labels (N,) to images and targets (N, classes)."""


def mixer(values: FinetuneValues, classes: int) -> Mix:
    """timm's Mixup as the recipe has it, or smoothed one-hot targets alone if it mixes nothing."""
    if not values.mixup and not values.cutmix:
        return lambda images, labels: (images, smooth(labels, classes, values.label_smoothing))
    from timm.data import Mixup

    mixup = Mixup(
        mixup_alpha=values.mixup,
        cutmix_alpha=values.cutmix,
        label_smoothing=values.label_smoothing,
        num_classes=classes,
    )

    def mix(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        if len(images) % 2:  # timm mixes a batch with its mirror image and refuses odd ones
            return images, smooth(labels, classes, values.label_smoothing)
        mixed, targets = mixup(images, labels)
        return mixed, targets

    return mix


def smooth(labels: Tensor, classes: int, amount: float) -> Tensor:
    """One-hot targets (N, classes) that give up ``amount`` to all classes alike."""
    targets = torch.full((len(labels), classes), amount / classes, device=labels.device)
    return targets.scatter_(1, labels[:, None], 1 - amount + amount / classes)
