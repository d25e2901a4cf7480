"""Learning rates: the paper's scaling rule and the schedule."""

import math


def scaled_lr(base_lr: float, batch: int, mask_ratio: float, prediction_ratio: float) -> float:
    """Peak learning rate of a pretraining: prediction ratio x base lr x batch / (256 x mask ratio).

    Source: CrossMAE section 3.3. For MAE the two ratios are equal and this is the linear scaling rule.
    """
    return prediction_ratio * base_lr * batch / (256 * mask_ratio)


def lr_at(step: int, total: int, warmup: float, peak: float, floor: float = 0.0) -> float:
    """Learning rate of update ``step`` (from 0): linear warm-up from 0 to ``peak``, then half a cosine to ``floor``.

    Source: released code of MAE and CrossMAE, per update rather than per epoch.
    """
    if step < warmup:
        return peak * step / warmup
    share = (step - warmup) / max(total - warmup, 1e-12)
    return floor + (peak - floor) * 0.5 * (1 + math.cos(math.pi * share))
