"""The values of a depth probe's recipe, in types."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator

from crossmae.errors import UserError
from crossmae.parsing import Count, CountOrZero, NotNegative, Positive, Strict
from crossmae.recipe import Recipe, TypedRecipe, read_sections
from crossmae.train.config import FitExecution, TrainPlan
from transfer.classification.recipe import BelowOne


def _rising(span: tuple[float, float]) -> tuple[float, float]:
    if span[0] >= span[1]:
        raise ValueError("the first must be the smaller one")
    return span


Span = Annotated[tuple[Positive, Positive], AfterValidator(_rising)]
Box = tuple[CountOrZero, Count, CountOrZero, Count]
"""First row, end of rows, first column, end of columns of an image of 480 rows and 640 columns."""


@dataclass(frozen=True, kw_only=True)
class DepthProtocol(Strict):
    """Linear depth as DINOv2 and DINOv3 measure it; lengths are metres."""

    point: Literal["raw", "norm"]
    """Where features are taken: after the last block, or after the final norm that follows it."""
    class_token: bool
    """Whether the class token stands next to each patch's features."""
    upsample: Count
    """By how much the features are enlarged before they are classified."""
    batch_norm: bool
    """Whether a batch norm stands before the classifier."""
    initial_std: Positive | None
    """Standard deviation of the classifier's initial weights; None: torch's own initial weights."""
    bins: Count
    depth: Span
    """Least and greatest depth: the ends of the bins, and what is scored."""
    train_box: Box
    """Part of the image that training sees; images of other sizes are cut in proportion."""
    score_box: Box
    """Part of the image that is scored, Eigen's crop."""
    crop: tuple[Count, Count]
    """Height and width of training images, cut from ``train_box``."""
    rotation: NotNegative
    """Degrees to either side by which half of the training images are turned."""
    gamma: Span
    """Exponents of 8-bit pixels, half of the time, as the two next."""
    brightness: Span
    colour: Span
    """Factors of each channel."""
    images_per_loss: Count
    """Images whose errors one loss measures together; a batch's loss is the mean of such."""
    mean_only_steps: CountOrZero
    """Updates at the beginning that train the mean error alone, and not its variance."""
    global_batch: Count
    lr: Positive
    betas: tuple[BelowOne, BelowOne]
    weight_decay: NotNegative
    clip_grad: Positive | None
    steps: Count
    warmup_steps: CountOrZero

    def plan(self, seed: int) -> TrainPlan:
        """The engine's share of the values."""
        return TrainPlan(
            global_batch=self.global_batch,
            lr=self.lr,
            steps=self.steps,
            warmup_steps=self.warmup_steps,
            clip_grad=self.clip_grad,
            seed=seed,
        )


DepthRecipe = TypedRecipe[DepthProtocol, FitExecution]


def read_recipe(recipe: Recipe) -> DepthRecipe:
    """Reads ``recipe``.

    Raises:
        UserError: an unknown, missing or wrong value, named in one line.
    """
    values: DepthRecipe = read_sections(recipe, DepthProtocol, FitExecution)
    for name, (top, bottom, left, right) in (
        ("train_box", values.protocol.train_box),
        ("score_box", values.protocol.score_box),
    ):
        if not (top < bottom <= ROWS and left < right <= COLUMNS):
            raise UserError(
                f"{name} of recipe {recipe.name} is no part of an image of {ROWS} x {COLUMNS}", "correct it"
            )
    return values


ROWS, COLUMNS = 480, 640
"""Of NYU Depth v2's images."""


def scaled(box: Box, height: int, width: int) -> tuple[slice, slice]:
    """Rows and columns of ``box`` in an image of this size, rounded down."""
    top, bottom, left, right = box
    rows = slice(top * height // ROWS, bottom * height // ROWS)
    return rows, slice(left * width // COLUMNS, right * width // COLUMNS)
