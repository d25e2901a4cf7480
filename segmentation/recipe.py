"""A segmenter's recipe as types: what decides the numbers of a run (the protocol) and what does not (the execution)."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, TypeVar

from annotated_types import Ge, Gt, Le, Len, Lt

from crossmae.errors import UserError
from crossmae.parsing import Count, CountOrZero, NotNegative, Positive, Strict
from crossmae.recipe import Recipe, TypedRecipe, read_sections
from crossmae.train.config import Execution

RECIPES = Path(__file__).parent / "recipes"


@dataclass(frozen=True, kw_only=True)
class SegmentationProtocol(Strict):
    """The values that recipes of every segmenter choose, in pixels, images and updates."""

    classes: Count | None
    """None: as many as the data has, which only tasks on any data know."""
    image_scale: tuple[Count, Count]
    """Width and height that the resized image must fit into, either way round."""
    ratio_range: tuple[Positive, Positive]
    """Least and greatest random factor on ``image_scale`` in training."""
    crop: Count
    """Side of a crop."""
    stride: Count
    """Stride of the sliding window at inference."""
    global_batch: Count
    """Images per update, over all processes and accumulation together."""
    lr: Positive
    """Learning rate of the heads at the end of the warm-up."""
    weight_decay: NotNegative
    warmup_steps: CountOrZero
    """Length of the linear warm-up."""
    steps: Count
    """On data of one's own with ``epochs``, the length that ``warmup_steps`` is for."""
    epochs: Positive | None = None
    """On data of one's own, the schedule is stretched to so many epochs."""
    least_steps: CountOrZero = 0
    """Updates that ``epochs`` of a small data set are raised to."""


@dataclass(frozen=True, kw_only=True)
class UperNetProtocol(SegmentationProtocol):
    """What of mmsegmentation's MAE configurations recipes choose, too."""

    patch_size: Count
    """Patch side inside the network; other patch kernels are resized to it."""
    out_indices: Annotated[tuple[CountOrZero, ...], Len(4, 4)] | None
    """Blocks that the four levels of the pyramid are made of, counted from 0; None: the last of each quarter, which
    only tasks on any data know."""
    layer_scale: Positive
    """Start value of LayerScale; 1 is the identity."""
    drop_path: Annotated[float, Ge(0), Lt(1)]
    channels: Count
    """Width of UPerHead."""
    aux_channels: Count
    """Width of the auxiliary FCN head."""
    layer_decay: Annotated[float, Gt(0), Le(1)]
    """Factor on the learning rate from one block to the one before it."""


@dataclass(frozen=True, kw_only=True)
class SegmentationExecution(Execution):
    """How a segmenter's run is carried out; none of it decides the numbers."""

    evaluate_every: Count
    """Updates between two evaluations; the end of the run is always evaluated."""


P = TypeVar("P", bound=SegmentationProtocol)
UperNetRecipe = TypedRecipe[UperNetProtocol, SegmentationExecution]


def read_segmenter(kind: type[P], recipe: Recipe) -> TypedRecipe[P, SegmentationExecution]:
    """Every value of ``recipe`` as its type, the protocol as a ``kind``.

    Raises:
        UserError: an unknown, missing or wrong value, or values that contradict each other; one line names them.
    """
    values = read_sections(recipe, kind, SegmentationExecution)
    protocol, where = values.protocol, f"recipe {recipe.name}"
    least, greatest = protocol.ratio_range
    if least > greatest:
        raise UserError(f"{where}: ratio_range goes down from {least} to {greatest}", "give the least factor first")
    if protocol.steps <= protocol.warmup_steps:
        raise UserError(f"{where}: steps ({protocol.steps}) must be larger than warmup_steps ({protocol.warmup_steps})")
    return values


def read_recipe(recipe: Recipe) -> UperNetRecipe:
    """An UperNet's ``recipe``; errors as those of ``read_segmenter``."""
    values = read_segmenter(UperNetProtocol, recipe)
    indices = values.protocol.out_indices
    if indices and list(indices) != sorted(set(indices)):
        raise UserError(f"recipe {recipe.name}: out_indices {list(indices)} do not rise", "give four blocks in order")
    return values


def fit_to_depth(recipe: Recipe, depth: int) -> Recipe:
    """An UperNet's ``recipe`` for a backbone of ``depth`` blocks.

    Raises:
        UserError: as ``read_recipe``, or a backbone of fewer than four blocks.
    """
    if read_recipe(recipe).protocol.out_indices is not None:
        return recipe
    if depth < 4:
        raise UserError(f"UperNet taps four blocks, the backbone has {depth}", "take a deeper one")
    taps = [round(depth * quarter / 4) - 1 for quarter in range(1, 5)]
    return replace(recipe, protocol={**recipe.protocol, "out_indices": taps})


def fit_to_data(recipe: Recipe, protocol: SegmentationProtocol, classes: int, images: int) -> Recipe:
    """``recipe``, whose values are ``protocol``, for data of ``classes`` classes and ``images`` training images."""
    values = {**recipe.protocol, "classes": classes, "epochs": None}
    if protocol.epochs is not None:
        steps = max(protocol.least_steps, round(protocol.epochs * images / protocol.global_batch), 2)
        warmup = max(1, min(steps - 1, round(protocol.warmup_steps * steps / protocol.steps)))
        values |= {"steps": steps, "warmup_steps": warmup}
    return replace(recipe, protocol=values)
