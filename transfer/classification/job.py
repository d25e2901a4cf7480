"""From a recipe to what the training engine runs; finished classifiers, kept and evaluated again."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from torch import nn

from crossmae.backbone import Backbone, BackboneSpec, WrappedSpec
from crossmae.errors import UserError
from crossmae.model.presets import PRESETS, arch_of
from crossmae.parsing import parse_json
from crossmae.recipe import Recipe
from crossmae.train.config import Precision, TrainPlan
from crossmae.train.runtime.distributed import join_world
from crossmae.weights.describe import MAES, describe
from crossmae.weights.files import WeightFile, read_weights, write_weights
from crossmae.weights.fit import load_strictly
from crossmae.weights.options import SourceOptions
from crossmae.weights.spec import count_blocks
from crossmae.wrapped.build import require_no_larger
from crossmae.wrapped.spec import written, written_in
from transfer.classification.accuracy import Outcomes
from transfer.classification.attentive import AttentiveProbe
from transfer.classification.finetune import Finetune
from transfer.classification.linear import LinearProbe
from transfer.classification.recipe import (
    AttentiveProbeProtocol,
    ClassificationExecution,
    FinetuneProtocol,
    LinearProbeProtocol,
    read_recipe,
)
from transfer.classification.workload import ClassificationWorkload
from transfer.datasets.labelled import LabelledImages
from transfer.task import Context

_PROBED = "vit."
"""Prefix of the backbone's weights in a linear probe."""

_HEAD = ("head.", "fc_norm.")

_OPTIONS = "crossmae_classifier"
"""Under this key a classifier carries what its weights do not say of its backbone."""


@dataclass(frozen=True)
class ClassificationJob:
    """Everything that ``fit`` needs."""

    workload: ClassificationWorkload[Any]
    plan: TrainPlan
    execution: ClassificationExecution


def make_job(
    backbone: Backbone, recipe: Recipe, train: LabelledImages, val: LabelledImages, context: Context
) -> ClassificationJob:
    """The workload of a recipe, at the context's seed and precision.

    Raises:
        UserError: the recipe has an unknown or impossible value or lacks one, or does not suit the backbone.
    """
    read = read_recipe(recipe)
    execution = replace(read.execution, precision=cast(Precision, context.precision))
    plan = read.protocol.plan(context.seed, len(train))
    rest = train, val, context.seed, execution
    workload: ClassificationWorkload[Any]
    match read.protocol:
        case LinearProbeProtocol():
            workload = LinearProbe(backbone, read.protocol, *rest)
        case AttentiveProbeProtocol():
            workload = AttentiveProbe(backbone, read.protocol, *rest)
        case FinetuneProtocol():
            workload = Finetune(backbone, read.protocol, *rest)
    return ClassificationJob(workload, plan, execution)


def save(model: nn.Module, about: BackboneSpec | WrappedSpec, path: Path) -> None:
    """Writes a classifier as ``evaluate`` reads it."""
    if isinstance(about, WrappedSpec):
        write_weights(model.state_dict(), path, written(about))
        return
    options = {
        "heads": about.num_heads,
        "act": about.activation,
        "eps": about.norm_eps,
        "mean": about.mean,
        "std": about.std,
    }
    write_weights(model.state_dict(), path, {_OPTIONS: json.dumps(options)})


def evaluate(
    weights: Path, recipe: Recipe, val: LabelledImages, context: Context
) -> tuple[dict[str, float], Outcomes | None]:
    """Metrics of the classifier in ``weights`` on ``val``, in as many processes as torchrun started.

    With its outcomes on the first of them, None on the others.

    Arguments and errors as those of ``open_finished``.
    """
    job, model = open_finished(weights, recipe, val, context)
    with join_world(job.execution.device) as world:
        metrics = job.workload.evaluate(model.to(world.device).eval())
    return metrics, job.workload.outcomes if world.is_main else None


def open_finished(
    weights: Path, recipe: Recipe, images: LabelledImages, context: Context
) -> tuple[ClassificationJob, nn.Module]:
    """The classifier in ``weights``, with the job that it would have come from, on ``images``.

    Args:
        weights: what ``save`` wrote, or a released CrossMAE or MAE fine-tuned ``.pth``.
        recipe: says how it was trained (``method``, ``pooling``, ``image_size``) and how images are cropped.

    Raises:
        UserError: the weights are no classifier of this recipe and data set; what does not fit is listed.
    """
    file = read_weights(weights)
    job = make_job(_backbone(file, weights), recipe, images, images, context)
    model = job.workload.model()
    load_strictly(model, file.weights, str(weights))
    return job, model


def _backbone(file: WeightFile, path: Path) -> Backbone:
    """The classifier's backbone: its dimensions are what the model is built by."""
    body = {name.removeprefix(_PROBED): value for name, value in file.weights.items() if not name.startswith(_HEAD)}
    body = {name: value for name, value in body.items() if not name.startswith("heads.")}
    if len(body) == len(file.weights):
        raise UserError(f"{path} holds no classifier: it has no head", "give a fine-tuned or probed model")
    about = written_in(file.arguments, str(path))
    if isinstance(about, WrappedSpec):
        require_no_larger(about, body, str(path))
        return Backbone({}, about)
    options = file.arguments.get(_OPTIONS)
    if options is not None:
        return Backbone(*describe(body, str(path), parse_json(SourceOptions, options, f"{_OPTIONS} in {path}")))
    # A released file is one of CrossMAE's or MAE's sizes.
    kernel = body.get("patch_embed.proj.weight")
    arch = (
        None
        if kernel is None or kernel.ndim != 4
        else arch_of(kernel.shape[0], count_blocks(body, "blocks."), kernel.shape[-1])
    )
    heads = file.arguments.get("num_heads", PRESETS[arch]["num_heads"] if arch else None)
    return Backbone(*describe(body, str(path), SourceOptions(heads=heads).over(MAES)))
