"""A ViTDet recipe as types: what decides the numbers of a run (VitDetProtocol) and what does not (VitDetExecution)."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt, MinLen

from crossmae.errors import UserError
from crossmae.parsing import Count, CountOrZero, NotNegative, Positive, Share, Strict
from crossmae.recipe import Recipe, TypedRecipe, read_sections
from crossmae.train.config import Execution

RECIPES = Path(__file__).parent / "recipes"

BUILT_SCALES = (4.0, 2.0, 1.0, 0.5)
"""The scales that detectron2's simple feature pyramid can build."""

Masks = Literal["polygon", "bitmask"] | None
"""How masks are kept while they are augmented (``bitmask`` also takes RLE); None for boxes alone."""
BelowOne = Annotated[float, Ge(0), Lt(1)]
Decay = Annotated[float, Gt(0), Le(1)]


@dataclass(frozen=True)
class Pyramid(Strict):
    """Simple feature pyramid over the backbone's last feature map."""

    scales: Annotated[tuple[Positive, ...], MinLen(1)]
    """Multiples of the backbone's resolution, one level each; among ``BUILT_SCALES``."""
    channels: Count
    extra_level: bool
    """Whether a max pooling of the last level makes one more."""


@dataclass(frozen=True)
class Rpn(Strict):
    """Region proposals. The pairs are (training, test)."""

    convs: Count
    anchors_per_image: Count
    before_nms: tuple[Count, Count]
    after_nms: tuple[Count, Count]


@dataclass(frozen=True)
class BoxHead(Strict):
    """Convolutions of ``channels`` and one fully connected layer of ``fc`` units."""

    convs: CountOrZero
    channels: Count
    fc: Count


@dataclass(frozen=True)
class MaskHead(Strict):
    """Convolutions of ``channels`` on ``side`` x ``side`` features, then a transposed one that doubles the side."""

    convs: CountOrZero
    channels: Count
    side: Count


@dataclass(frozen=True)
class VitDetProtocol(Strict):
    """One field per value of upstream's configuration, in updates, pixels and images."""

    classes: Count | None
    """None: as many as the data has, which only tasks on any data know."""
    image_size: Count
    patch_size: Count
    """Patch side inside the detector; other patch kernels are resized to it."""
    drop_path: BelowOne
    window_size: CountOrZero
    """Side of an attention window in patches; 0 for global attention in every block."""
    global_blocks: tuple[CountOrZero, ...]
    """Blocks that attend globally where ``window_size`` is not 0, counted from 0."""
    pyramid: Pyramid
    anchors: tuple[Count, ...]
    """Anchor side in pixels, one per pyramid level."""
    rpn: Rpn
    rois_per_image: Count
    box_head: BoxHead
    mask_head: MaskHead
    detections_per_image: Count
    """Most detections of one test image."""
    scale_jitter: tuple[Positive, Positive]
    """Least and greatest random factor on ``image_size``."""
    global_batch: Count
    """Images per update, over all processes and accumulation together."""
    steps: Count
    """On data of one's own with ``epochs``, the length that ``milestones`` and ``warmup_steps`` are for."""
    milestones: tuple[Count, ...]
    """Updates after which the learning rate is multiplied by .1; those that ``steps`` does not reach do not count."""
    warmup_steps: NotNegative
    """Length of the linear warm-up; not always whole, as upstream gives it as a share of the schedule."""
    warmup_factor: Share
    """Multiplier of the learning rate at the first update."""
    lr: Positive
    """Learning rate of the last block and of everything behind it, at the end of the warm-up."""
    betas: tuple[BelowOne, BelowOne]
    weight_decay: NotNegative
    norm_weight_decay: NotNegative | None
    """Weight decay of normalisation layers; None: that of every other weight."""
    pos_embed_weight_decay: NotNegative | None
    """Weight decay of position embeddings; None: that of every other weight."""
    layer_decay: Decay
    """Factor on the learning rate from one block to the one before it."""
    clip_grad: Positive | None
    """Greatest norm of the whole gradient; None for no clipping."""
    epochs: Positive | None = None
    """On data of one's own, the schedule is stretched to so many epochs."""
    least_steps: CountOrZero = 0
    """Updates that ``epochs`` of a small data set are raised to."""

    @property
    def strides(self) -> list[int]:
        """Of the pyramid's levels, without the extra one, in pixels."""
        return [int(self.patch_size / scale) for scale in self.pyramid.scales]


@dataclass(frozen=True)
class VitDetExecution(Execution):
    """How a ViTDet run is carried out; none of it decides the numbers."""

    per_device_batch: Count = 1
    """Most images that one process holds at once in training; accumulation follows from it."""
    activation_checkpointing: bool = False
    """Whether blocks are recomputed in the backward pass, which saves memory."""
    attention: Literal["auto", "fused", "plain"] = "auto"
    """``fused`` (SDPA), ``plain`` (matrix products), or ``auto``: fused on a GPU."""
    test_batch: Count = 1
    """Images of one batch in evaluation."""
    drawn_images: CountOrZero = 6
    """Validation images whose detections are drawn."""


VitDetRecipe = TypedRecipe[VitDetProtocol, VitDetExecution]


def read_recipe(recipe: Recipe) -> VitDetRecipe:
    """Every value of ``recipe`` as its type.

    Raises:
        UserError: an unknown, missing or wrong value, or values that contradict each other; one line names them.
    """
    values = read_sections(recipe, VitDetProtocol, VitDetExecution)
    for what, remedy in _contradictions(values.protocol):
        raise UserError(f"recipe {recipe.name}: {what}", remedy)
    return values


def fit_to_data(recipe: Recipe, classes: int, images: int) -> Recipe:
    """``recipe`` for data of ``classes`` categories and ``images`` training images.

    Raises:
        UserError: as ``read_recipe``.
    """
    protocol = read_recipe(recipe).protocol
    values = {**recipe.protocol, "classes": classes, "epochs": None}
    if protocol.epochs is not None:
        steps = max(protocol.least_steps, round(protocol.epochs * images / protocol.global_batch), 1)
        factor = steps / protocol.steps
        values |= {
            "steps": steps,
            "milestones": sorted({max(1, round(factor * step)) for step in protocol.milestones}),
            "warmup_steps": factor * protocol.warmup_steps,
        }
    return replace(recipe, protocol=values)


def _contradictions(protocol: VitDetProtocol) -> Iterator[tuple[str, str]]:
    """What is wrong with values that are each in range, and the remedy."""
    pyramid, (least, greatest) = protocol.pyramid, protocol.scale_jitter
    levels = len(pyramid.scales) + pyramid.extra_level
    if not set(pyramid.scales) <= set(BUILT_SCALES):
        yield f"pyramid.scales is {list(pyramid.scales)}", f"detectron2 builds {', '.join(map(str, BUILT_SCALES))}"
    if pyramid.extra_level and protocol.patch_size / pyramid.scales[-1] != 32:
        yield "detectron2's extra pyramid level comes after stride 32", "change pyramid.scales or extra_level"
    if len(protocol.anchors) != levels:
        yield f"{len(protocol.anchors)} anchors for {levels} pyramid levels", "give one anchor side per level"
    if least > greatest:
        yield f"scale_jitter goes down from {least} to {greatest}", "give the least factor first"
    if list(protocol.milestones) != sorted(set(protocol.milestones)):
        yield f"milestones {list(protocol.milestones)} do not rise", "give each update once, in order"
    if protocol.window_size and not protocol.global_blocks:
        yield "window_size without global_blocks", "name the blocks that attend globally, or set window_size to 0"
