"""One run of UperNet: train a backbone under it, or evaluate a finished model."""

from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from crossmae.backbone import Backbone, BackboneSpec
from crossmae.recipe import Recipe
from segmentation.build.prepare import configure
from segmentation.data.layout import digest_of_listing
from segmentation.evaluation.finished import read_finished
from segmentation.recipe import read_recipe
from segmentation.training.segmenter import evaluate_segmenter, train_segmenter
from segmentation.weights import load_backbone
from segmentation.wrapped import WrappedMaps
from transfer.task import Context

CHECKPOINT = "upernet.pth"
"""The finished model in the run folder, an mmengine checkpoint."""


def train(
    backbone: Backbone, recipe: Recipe, context: Context, keep_zero: bool = False, wrapped: bool = False
) -> dict[str, float]:
    """Fine-tunes ``backbone`` under UperNet and returns its validation metrics in percent.

    Args:
        keep_zero: label 0 is the first class, and not ignored.
        wrapped: whether a plain ViT is to be wrapped, too, as every other backbone is (``segmentation.wrapped``).

    Raises:
        Stopped: a signal came; the state is saved.
        UserError: backbone or data do not fit, the loss is not finite, the folder holds another run's states.
    """
    values = read_recipe(recipe)
    config = partial(configure, backbone.about, values, context, keep_zero, wrapped)
    identity = _identity(backbone, recipe, context, wrapped)
    return train_segmenter(config, partial(_load, backbone), backbone, identity, values, context, CHECKPOINT)


def evaluate(weights: Path, recipe: Recipe, context: Context, keep_zero: bool = False) -> dict[str, float]:
    """Validation metrics in percent of the UperNet in ``weights``, in as many processes as torchrun started.

    Raises:
        UserError: no such file, no UperNet of this recipe in it, or unusable data.
    """
    values, finished = read_recipe(recipe), read_finished(weights)
    config = partial(configure, finished.about, values, context, keep_zero, finished.wrapped)
    return evaluate_segmenter(config, finished.weights, weights, values.execution, context)


def _load(backbone: Backbone, module: nn.Module) -> None:
    if isinstance(module, WrappedMaps):
        module.load_backbone(backbone)
    else:
        load_backbone(module, backbone)


def _identity(backbone: Backbone, recipe: Recipe, context: Context, wrapped: bool) -> dict[str, Any]:
    """What decides the numbers: a folder with the states of another identity is refused."""
    assert context.data_root is not None
    data = digest_of_listing(context.data_root)
    identity = {"protocol": recipe.protocol, "backbone": backbone.digest, "seed": context.seed, "data": data}
    if wrapped or not isinstance(backbone.about, BackboneSpec):
        identity["wrapped"] = backbone.about.function
    return identity
