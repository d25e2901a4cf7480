"""An UperNet recipe as types: what decides the numbers of a run (UperNetProtocol) and what does not (the rest)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from annotated_types import Ge, Gt, Le, Len, Lt

from crossmae.errors import UserError
from crossmae.parsing import Count, CountOrZero, NotNegative, Positive, Strict
from crossmae.recipe import Recipe, TypedRecipe, read_sections
from crossmae.train.config import Execution

RECIPES = Path(__file__).parent / "recipes"


@dataclass(frozen=True)
class UperNetProtocol(Strict):
    """The values of mmsegmentation's MAE configurations that recipes choose, in pixels, images and updates."""

    classes: Count
    image_scale: tuple[Count, Count]
    """Width and height that the resized image must fit into, either way round."""
    ratio_range: tuple[Positive, Positive]
    """Least and greatest random factor on ``image_scale`` in training."""
    crop: Count
    """Side of a crop."""
    stride: Count
    """Stride of the sliding window at inference."""
    patch_size: Count
    """Patch side inside the network; other patch kernels are resized to it."""
    out_indices: Annotated[tuple[CountOrZero, ...], Len(4, 4)]
    """Blocks that the four levels of the pyramid are made of, counted from 0."""
    layer_scale: Positive
    """Start value of LayerScale; 1 is the identity."""
    drop_path: Annotated[float, Ge(0), Lt(1)]
    channels: Count
    """Width of UPerHead."""
    aux_channels: Count
    """Width of the auxiliary FCN head."""
    global_batch: Count
    """Images per update, over all processes and accumulation together."""
    lr: Positive
    """Learning rate of the heads at the end of the warm-up."""
    weight_decay: NotNegative
    layer_decay: Annotated[float, Gt(0), Le(1)]
    """Factor on the learning rate from one block to the one before it."""
    warmup_steps: CountOrZero
    """Length of the linear warm-up."""
    steps: Count


@dataclass(frozen=True, kw_only=True)
class UperNetExecution(Execution):
    """How an UperNet run is carried out; none of it decides the numbers."""

    evaluate_every: Count
    """Updates between two evaluations; the end of the run is always evaluated."""


UperNetRecipe = TypedRecipe[UperNetProtocol, UperNetExecution]


def read_recipe(recipe: Recipe) -> UperNetRecipe:
    """Every value of ``recipe`` as its type.

    Raises:
        UserError: an unknown, missing or wrong value, or values that contradict each other; one line names them.
    """
    values = read_sections(recipe, UperNetProtocol, UperNetExecution)
    _check(values.protocol, f"recipe {recipe.name}")
    return values


def _check(protocol: UperNetProtocol, where: str) -> None:
    least, greatest = protocol.ratio_range
    if least > greatest:
        raise UserError(f"{where}: ratio_range goes down from {least} to {greatest}", "give the least factor first")
    if protocol.steps <= protocol.warmup_steps:
        raise UserError(f"{where}: steps ({protocol.steps}) must be larger than warmup_steps ({protocol.warmup_steps})")
    if list(protocol.out_indices) != sorted(set(protocol.out_indices)):
        raise UserError(f"{where}: out_indices {list(protocol.out_indices)} do not rise", "give four blocks in order")
