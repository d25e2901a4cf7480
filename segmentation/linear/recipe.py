"""A linear probe's recipe as types."""

from dataclasses import dataclass
from typing import Literal

from crossmae.recipe import Recipe, TypedRecipe
from segmentation.recipe import SegmentationExecution, SegmentationProtocol, read_segmenter


@dataclass(frozen=True, kw_only=True)
class LinearProtocol(SegmentationProtocol):
    """The values of DINOv2's linear segmentation that recipes choose; ``lr`` is that of the only head."""

    point: Literal["raw", "norm"]
    """Where features are taken: after the last block, or after the final norm that follows it."""


LinearRecipe = TypedRecipe[LinearProtocol, SegmentationExecution]


def read_recipe(recipe: Recipe) -> LinearRecipe:
    """A linear probe's ``recipe``; errors as those of ``read_segmenter``."""
    return read_segmenter(LinearProtocol, recipe)
