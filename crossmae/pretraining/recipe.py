"""A pretraining recipe's values, checked and in types."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from crossmae.model.config import MAEConfig
from crossmae.model.presets import preset_config
from crossmae.parsing import parse
from crossmae.recipe import Recipe
from crossmae.train.config import FitExecution, TrainPlan
from crossmae.train.schedule import scaled_lr


@dataclass(frozen=True)
class Protocol:
    """The ``protocol`` section of a pretraining recipe. Source of the published values: CrossMAE Table 10."""

    dataset: str
    """``demo`` (generated images) or the name of a data set that is given with ``--data``."""
    model: Mapping[str, Any]
    """``preset`` and the values of MAEConfig that differ from it."""
    base_lr: float
    global_batch: int
    weight_decay: float
    betas: tuple[float, float]
    warmup_epochs: float | None = None
    warmup_steps: int | None = None
    epochs: float | None = None
    steps: int | None = None
    """Number of updates; if given, it counts instead of ``epochs``."""
    min_lr: float = 0.0
    clip_grad: float | None = None
    crop_scale: tuple[float, float] = (0.2, 1.0)
    flip: float = 0.5
    pixels: Literal["exact", "fast"] = "exact"
    """``exact``: Pillow decodes and resizes, as in the released code; ``fast``: faster libraries, see docs/data.md."""


@dataclass(frozen=True)
class PretrainExecution(FitExecution):
    """The ``execution`` section of a pretraining recipe."""

    in_memory: bool = False
    """Keep all images decoded in memory (small square images only)."""
    most_unreadable: int = 100
    """More images that cannot be read than this stop the run."""
    augment: Literal["host", "device", "auto"] = "host"
    """Where crops are resized: ``auto`` is on a GPU if the images are a ``raw`` cache."""
    attention: str = "auto"
    """Backend of attention, see ``crossmae.model.attention``."""


@dataclass(frozen=True)
class Settings:
    """Everything that a pretraining run needs to know beside its data and its folder."""

    protocol: Protocol
    model: MAEConfig
    plan: TrainPlan
    execution: PretrainExecution

    @property
    def lr(self) -> float:
        """Peak learning rate."""
        return self.plan.lr


def settings(recipe: Recipe, seed: int) -> Settings:
    """Reads ``recipe``.

    Raises:
        UserError: an unknown, missing or wrong value, named in one line.
    """
    protocol = parse(Protocol, recipe.protocol, f"the protocol of recipe {recipe.name}")
    options = dict(protocol.model)
    model = preset_config(options.pop("preset", "vit_b16"), **options)
    return Settings(
        protocol=protocol,
        model=model,
        plan=_plan(protocol, model, seed),
        execution=parse(PretrainExecution, recipe.execution, f"the execution of recipe {recipe.name}"),
    )


def _plan(protocol: Protocol, model: MAEConfig, seed: int) -> TrainPlan:
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
