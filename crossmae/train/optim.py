"""AdamW with one learning rate per parameter group, which parameters are decayed, and the schedule."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn


def adamw(
    groups: Iterable[Mapping[str, Any]], lr: float, betas: tuple[float, float] = (0.9, 0.999)
) -> torch.optim.Optimizer:
    """Fused AdamW over ``groups``, each with ``params`` and, if wanted, ``weight_decay`` (default 0) and ``lr_scale``.

    The fused kernel can leave an update out without asking the host, which is how the engine keeps a non-finite
    gradient away from the weights.
    """
    return torch.optim.AdamW([dict(group) for group in groups], lr=lr, betas=betas, weight_decay=0.0, fused=True)


def decay_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """The trainable parameters in two groups: those with weight decay, and biases and other 1-D parameters without.

    Source: released code of MAE and CrossMAE (timm's ``param_groups_weight_decay``); tokens are decayed there, too.
    """
    trainable = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p for p in trainable if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in trainable if p.ndim <= 1], "weight_decay": 0.0},
    ]


def lr_at(step: int, total: int, warmup: float, peak: float, floor: float = 0.0) -> float:
    """Learning rate of update ``step`` (from 0): linear warm-up from 0 to ``peak``, then half a cosine to ``floor``.

    Source: released code of MAE and CrossMAE, per update rather than per epoch.
    """
    if step < warmup:
        return peak * step / warmup
    share = (step - warmup) / max(total - warmup, 1e-12)
    return floor + (peak - floor) * 0.5 * (1 + math.cos(math.pi * share))
