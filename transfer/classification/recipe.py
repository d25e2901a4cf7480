"""The values of a classification recipe, in types."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, Lt
from pydantic import AfterValidator, StringConstraints

from crossmae.errors import UserError
from crossmae.parsing import Count, CountOrZero, NotNegative, Positive, Share, Strict
from crossmae.recipe import Recipe, TypedRecipe, read_sections
from crossmae.train.config import FitExecution, TrainPlan

Pooling = Literal["avg", "token"]
PositiveShare = Annotated[float, Gt(0), Le(1)]
BelowOne = Annotated[float, Ge(0), Lt(1)]
RandAugment = Annotated[str, StringConstraints(pattern=r"^rand(-((m|n|mmax|inc)\d+|(p|mstd)\d+(\.\d+)?|t[a-z_]+))*$")]


def _rising(scale: tuple[float, float]) -> tuple[float, float]:
    if scale[0] > scale[1]:
        raise ValueError("the first must not be the greater one")
    return scale


@dataclass(frozen=True)
class Augmentation(Strict):
    """What happens to a training image; the defaults are the released fine-tuning's."""

    scale: Annotated[tuple[PositiveShare, PositiveShare], AfterValidator(_rising)] = (0.08, 1.0)
    """Least and greatest area of the random crop, as a share of the image's."""
    crop: Literal["torchvision", "tensorflow"] = "torchvision"
    """``tensorflow``: one try only, as MAE's linear probe has it."""
    flip: Share = 0.5
    """Probability of a horizontal flip."""
    rand_augment: RandAugment | None = "rand-m9-mstd0.5-inc1"
    """timm's name of a RandAugment policy; None for none."""
    random_erasing: Share = 0.25
    """Probability of erasing one rectangle, filled with noise."""


@dataclass(frozen=True, kw_only=True)
class ClassificationProtocol(Strict):
    """What fine-tuning and linear probing have in common: the values that decide the numbers."""

    global_batch: Count
    base_lr: Positive
    """Learning rate per 256 samples of the global batch."""
    image_size: Count = 224
    """Side of the images in pixels: a multiple of the backbone's patch size."""
    epochs: Positive | None = None
    steps: Count | None = None
    """Number of updates; if given, it counts instead of ``epochs``."""
    least_steps: CountOrZero = 0
    """Updates that ``epochs`` of a small data set are raised to; the warm-up keeps its share of the training."""
    warmup_epochs: NotNegative = 0.0
    warmup_steps: CountOrZero | None = None
    """Length of the warm-up in updates; if given, it counts instead of ``warmup_epochs``."""
    min_lr: NotNegative = 0.0
    clip_grad: Positive | None = None
    """Greatest norm of the whole gradient; None for no clipping."""
    crop_pct: PositiveShare = 0.875
    """Share of the resized validation image that the central crop takes.

    It does not follow ``image_size``. The released code takes 0.875 up to 224 pixels and 1.0 above: who overrides
    the one sets the other, too."""
    augmentation: Augmentation = field(default_factory=Augmentation)

    def plan(self, seed: int, samples: int) -> TrainPlan:
        """The engine's share of the values, for so many training images."""
        epochs, warmup = self.epochs, self.warmup_epochs
        if epochs is not None and epochs * samples < self.least_steps * self.global_batch:
            longer = self.least_steps * self.global_batch / samples
            epochs, warmup = longer, warmup * longer / epochs
        return TrainPlan(
            global_batch=self.global_batch,
            lr=self.base_lr * self.global_batch / 256,
            steps=self.steps,
            epochs=epochs if self.steps is None else None,
            warmup_steps=self.warmup_steps,
            warmup_epochs=warmup if self.warmup_steps is None else None,
            min_lr=self.min_lr,
            clip_grad=self.clip_grad,
            seed=seed,
        )


@dataclass(frozen=True, kw_only=True)
class FinetuneProtocol(ClassificationProtocol):
    """End-to-end fine-tuning.

    Mixup and cutmix draw once for each micro-batch and pair its images, and leave one of an odd number of images as it
    is: there the per-device batch is part of the procedure.
    """

    method: Literal["finetune"] = "finetune"
    weight_decay: NotNegative = 0.05
    betas: tuple[BelowOne, BelowOne] = (0.9, 0.999)
    layer_decay: PositiveShare = 0.75
    drop_path: BelowOne = 0.1
    pooling: Pooling = "avg"
    mixup: NotNegative = 0.8
    cutmix: NotNegative = 1.0
    label_smoothing: BelowOne = 0.1


@dataclass(frozen=True, kw_only=True)
class LinearProbeProtocol(ClassificationProtocol):
    """Linear probing with LARS on frozen features; the batch norm before the head sees one micro-batch at a time."""

    method: Literal["linear"] = "linear"
    weight_decay: NotNegative = 0.0
    momentum: BelowOne = 0.9
    trust_coefficient: Positive = 0.001
    pooling: Pooling = "token"
    """Whose head is ``top1``; the other one is trained next to it."""


@dataclass(frozen=True, kw_only=True)
class AttentiveProbeProtocol(ClassificationProtocol):
    """An attentive probe on frozen patch tokens: Efficient Probing by LARS, or CAPI's by AdamW."""

    method: Literal["attentive"] = "attentive"
    pooling: Literal["ep", "capi"]
    point: Literal["raw", "norm"] = "raw"
    """Where tokens are taken: after the last block, or after the final norm that follows it."""
    queries: Count = 32
    """Of Efficient Probing; they divide the backbone's width."""
    weight_decay: NotNegative = 0.0
    momentum: BelowOne = 0.9
    trust_coefficient: Positive = 0.001
    betas: tuple[BelowOne, BelowOne] = (0.9, 0.95)


@dataclass(frozen=True)
class ClassificationExecution(FitExecution):
    """The ``execution`` section of a classification recipe."""

    evaluation_batch: Count | None = None
    """Images that one process classifies at once; None: ``per_device_batch``."""
    keep_decoded: bool = False
    """Keep decoded pictures in memory: for small data sets only."""


Protocol = FinetuneProtocol | LinearProbeProtocol | AttentiveProbeProtocol

METHODS: Mapping[str, type[FinetuneProtocol] | type[LinearProbeProtocol] | type[AttentiveProbeProtocol]] = {
    "finetune": FinetuneProtocol,
    "linear": LinearProbeProtocol,
    "attentive": AttentiveProbeProtocol,
}


ClassificationRecipe = TypedRecipe[Protocol, ClassificationExecution]


def read_recipe(recipe: Recipe) -> ClassificationRecipe:
    """Reads ``recipe``, whose ``method`` is one of ``METHODS``.

    Raises:
        UserError: an unknown method, or an unknown, missing or wrong value, named in one line.
    """
    method: Any = recipe.protocol.get("method")
    if not isinstance(method, str) or method not in METHODS:
        raise UserError(f"unknown method {method!r} in recipe {recipe.name}", f"choose {' or '.join(METHODS)}")
    values: ClassificationRecipe = read_sections(recipe, METHODS[method], ClassificationExecution)
    if values.protocol.epochs is None and values.protocol.steps is None:
        raise UserError(f"recipe {recipe.name} does not say how long training is", "give epochs or steps")
    return values
