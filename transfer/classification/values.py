"""The values of a classification recipe, checked."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from crossmae.errors import UserError
from crossmae.parsing import parse
from crossmae.train.config import TrainPlan
from transfer.classification.augment import Augmentation

Pooling = Literal["avg", "token"]


@dataclass(frozen=True)
class Values:
    """What fine-tuning and linear probing have in common. Exactly one of ``epochs`` and ``steps`` is given."""

    global_batch: int
    base_lr: float
    """Learning rate per 256 samples of the global batch."""
    image_size: int = 224
    epochs: float | None = None
    steps: int | None = None
    warmup_epochs: float = 0.0
    min_lr: float = 0.0
    crop_pct: float = 0.875
    """Share of the resized validation image that the central crop takes."""
    augmentation: Augmentation = field(default_factory=Augmentation)

    def plan(self, seed: int) -> TrainPlan:
        """The engine's share of the values."""
        return TrainPlan(
            global_batch=self.global_batch,
            lr=self.base_lr * self.global_batch / 256,
            steps=self.steps,
            epochs=self.epochs,
            warmup_epochs=self.warmup_epochs,
            min_lr=self.min_lr,
            clip_grad=getattr(self, "clip_grad", None),
            seed=seed,
        )


@dataclass(frozen=True)
class FinetuneValues(Values):
    """End-to-end fine-tuning."""

    weight_decay: float = 0.05
    betas: tuple[float, float] = (0.9, 0.999)
    layer_decay: float = 0.75
    drop_path: float = 0.1
    clip_grad: float | None = None
    pooling: Pooling = "avg"
    mixup: float = 0.8
    cutmix: float = 1.0
    label_smoothing: float = 0.1


@dataclass(frozen=True)
class LinearValues(Values):
    """Linear probing with LARS on frozen features."""

    weight_decay: float = 0.0
    momentum: float = 0.9
    trust_coefficient: float = 0.001
    pooling: Pooling = "token"
    """Whose head is ``top1``; the other one is trained beside it."""


METHODS: dict[str, type[FinetuneValues] | type[LinearValues]] = {"finetune": FinetuneValues, "linear": LinearValues}


def read_values(protocol: Mapping[str, Any]) -> FinetuneValues | LinearValues:
    """The values of a recipe's ``protocol``, whose ``method`` is ``finetune`` or ``linear``.

    Raises:
        UserError: unknown method or value, or a missing one.
    """
    given = dict(protocol)
    method = str(given.pop("method", None))
    if method not in METHODS:
        raise UserError(f"unknown method {method!r} in the recipe; choose {' or '.join(METHODS)}")
    return parse(METHODS[method], given, "the recipe")
