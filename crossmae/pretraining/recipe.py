"""A pretraining recipe's values, in types and within their ranges."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Lt

from crossmae.errors import UserError
from crossmae.model.attention import Backend
from crossmae.model.config import MAEConfig
from crossmae.model.presets import preset_config
from crossmae.parsing import Count, CountOrZero, NotNegative, Positive, Share, Strict
from crossmae.recipe import Recipe, read_sections
from crossmae.train.config import FitExecution, TrainPlan

Momentum = Annotated[float, Ge(0), Lt(1)]


@dataclass(frozen=True)
class PretrainProtocol(Strict):
    """The ``protocol`` section of a pretraining recipe. Source of the published values: CrossMAE Table 10."""

    dataset: str
    """``demo`` (generated images) or the name of a data set that is given with ``--data``."""
    model: Mapping[str, Any]
    """``preset`` and the values of MAEConfig that differ from it."""
    base_lr: Positive
    """Learning rate of 256 images per update, see ``scaled_lr``."""
    global_batch: Count
    """Images per update."""
    weight_decay: NotNegative
    betas: tuple[Momentum, Momentum]
    warmup_epochs: NotNegative | None = None
    warmup_steps: CountOrZero | None = None
    epochs: Positive | None = None
    steps: Count | None = None
    """Number of updates; if given, it counts instead of ``epochs``."""
    min_lr: NotNegative = 0.0
    clip_grad: Positive | None = None
    crop_scale: tuple[Annotated[Share, Gt(0)], Annotated[Share, Gt(0)]] = (0.2, 1.0)
    """Least and greatest share of an image's area that a crop takes."""
    flip: Share = 0.5
    """Probability of a horizontal flip."""
    upright: bool = True
    """Turn images as their EXIF orientation says; the released code leaves them as they are stored."""
    pixels: Literal["exact", "fast"] = "exact"
    """``exact``: Pillow decodes and resizes, as in the released code; ``fast``: faster libraries, see docs/data.md."""

    def __post_init__(self) -> None:
        if self.crop_scale[0] > self.crop_scale[1]:
            raise UserError(f"crop_scale is {list(self.crop_scale)}", "the least share comes first")


@dataclass(frozen=True)
class PretrainExecution(FitExecution):
    """The ``execution`` section of a pretraining recipe."""

    in_memory: bool = False
    """Keep all images decoded in memory (small square images only)."""
    most_unreadable: CountOrZero = 100
    """More images that cannot be read than this stop the run."""
    augment: Literal["host", "device", "auto"] = "host"
    """Where crops are resized: ``auto`` is on a GPU if the images are a ``raw`` cache."""
    attention: Backend = "auto"
    """Backend of attention, see ``crossmae.model.attention``."""


@dataclass(frozen=True)
class PretrainRecipe:
    """Everything that a pretraining run needs to know besides its data and its folder."""

    protocol: PretrainProtocol
    model: MAEConfig
    plan: TrainPlan
    execution: PretrainExecution


def read_recipe(recipe: Recipe, seed: int) -> PretrainRecipe:
    """Reads every value of ``recipe`` into its type.

    Raises:
        UserError: an unknown, missing or wrong value, named in one line.
    """
    values = read_sections(recipe, PretrainProtocol, PretrainExecution)
    options = dict(values.protocol.model)
    model = preset_config(options.pop("preset", "vit_b16"), **options)
    return PretrainRecipe(
        protocol=values.protocol,
        model=model,
        plan=_plan(values.protocol, model, seed),
        execution=values.execution,
    )


def scaled_lr(base_lr: float, batch: int, mask_ratio: float, prediction_ratio: float) -> float:
    """Peak learning rate of a pretraining: prediction ratio x base lr x batch / (256 x mask ratio).

    Source: CrossMAE section 3.3. For MAE the two ratios are equal and this is the linear scaling rule.
    """
    return prediction_ratio * base_lr * batch / (256 * mask_ratio)


def _plan(protocol: PretrainProtocol, model: MAEConfig, seed: int) -> TrainPlan:
    assert model.prediction_ratio is not None
    return TrainPlan(
        global_batch=protocol.global_batch,
        lr=scaled_lr(protocol.base_lr, protocol.global_batch, model.mask_ratio, model.prediction_ratio),
        steps=protocol.steps,
        epochs=protocol.epochs if protocol.steps is None else None,
        warmup_steps=protocol.warmup_steps,
        warmup_epochs=protocol.warmup_epochs,
        min_lr=protocol.min_lr,
        clip_grad=protocol.clip_grad,
        seed=seed,
    )
