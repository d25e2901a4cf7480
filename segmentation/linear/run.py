"""One run of a linear probe: train the head on a frozen backbone, or evaluate a finished probe."""

from functools import partial
from pathlib import Path
from typing import Any

from crossmae.backbone import Backbone
from crossmae.errors import UserError
from crossmae.recipe import Recipe
from segmentation.data.reader import SegmentationSet
from segmentation.evaluation.finished import read_segmenter
from segmentation.linear.config import configure, require_point
from segmentation.linear.model import FrozenMap
from segmentation.linear.recipe import read_recipe
from segmentation.training.segmenter import evaluate_segmenter, train_segmenter
from transfer.task import Context

CHECKPOINT = "linear.pth"
"""The finished probe in the run folder, backbone and head, an mmengine checkpoint."""


def train(backbone: Backbone, recipe: Recipe, data: SegmentationSet, context: Context) -> dict[str, float]:
    """Trains the head on ``backbone`` and returns its validation metrics in percent.

    Raises:
        Stopped: a signal came; the state is saved.
        UserError: backbone or data do not fit, the loss is not finite, the folder holds another run's states.
    """
    values = read_recipe(recipe)
    require_point(values.protocol, backbone.about)  # in mmengine's hands an error grows long
    config = partial(configure, backbone.about, values, data, context)
    identity = _identity(backbone, recipe, data, context)
    return train_segmenter(config, partial(_load, backbone), backbone, identity, values, context, CHECKPOINT)


def evaluate(weights: Path, recipe: Recipe, data: SegmentationSet, context: Context) -> dict[str, float]:
    """Validation metrics in percent of the finished probe in ``weights``, in as many processes as torchrun started.

    Raises:
        UserError: no such file, no probe of this recipe in it, or unusable data.
    """
    values, (state, about) = read_recipe(recipe), read_segmenter(weights)
    if about is None:
        raise UserError(f"{weights} does not say what its backbone is", f"take the {CHECKPOINT} of a run")
    config = partial(configure, about, values, data, context)
    return evaluate_segmenter(config, state, weights, values.execution, context)


def _load(backbone: Backbone, module: Any) -> None:
    assert isinstance(module, FrozenMap)
    module.load_backbone(backbone)


def _identity(backbone: Backbone, recipe: Recipe, data: SegmentationSet, context: Context) -> dict[str, Any]:
    assert context.data_root is not None
    return {
        "protocol": recipe.protocol,
        "backbone": backbone.digest,
        "function": backbone.about.function,
        "seed": context.seed,
        "data": data.fingerprint(context.data_root),
    }
