"""One run of UperNet: train a backbone under it, or evaluate a finished model."""

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
from mmengine.dist import barrier
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from crossmae.backbone import Backbone, BackboneSpec
from crossmae.recipe import Recipe
from crossmae.run.stop import StopGuard
from crossmae.train.checkpoint.manager import CheckpointManager
from crossmae.train.runtime.distributed import join_world
from crossmae.train.runtime.precision import matmul_precision
from crossmae.weights.files import write_torch
from crossmae.wrapped.spec import written
from segmentation.build.prepare import configure
from segmentation.data.layout import digest_of_listing
from segmentation.evaluation.finished import read_finished, require_fit
from segmentation.evaluation.metrics import draw
from segmentation.recipe import UperNetRecipe, read_recipe
from segmentation.training.hooks import Report, ResumableState
from segmentation.weights import load_backbone
from segmentation.wrapped import WrappedMaps
from transfer.task import Context

DRAWN = 6
"""Validation images whose predictions are drawn."""

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
    with join_world("auto") as world, matmul_precision(values.execution.matmul_precision):
        runner = Runner.from_cfg(configure(backbone.about, values, context, keep_zero, wrapped))
        world.adopt(runner.model)
        _initialize(runner, backbone)
        states = CheckpointManager(context.folder, world)
        report = _train(runner, states, _identity(backbone, recipe, context, wrapped), values, context)
        metrics = _final_metrics(runner, report)
        if world.is_main:
            _write_results(runner, backbone, context)
            shutil.rmtree(states.folder)
        barrier()
        return metrics


def evaluate(weights: Path, recipe: Recipe, context: Context, keep_zero: bool = False) -> dict[str, float]:
    """Validation metrics in percent of the UperNet in ``weights``, in as many processes as torchrun started.

    Raises:
        UserError: no such file, no UperNet of this recipe in it, or unusable data.
    """
    values, finished = read_recipe(recipe), read_finished(weights)
    with join_world("auto") as world, matmul_precision(values.execution.matmul_precision):
        runner = Runner.from_cfg(configure(finished.about, values, context, keep_zero, finished.wrapped))
        world.adopt(runner.model)
        model = _unwrapped(runner)
        require_fit(finished.weights, model.state_dict(), weights)
        model.load_state_dict(finished.weights)
        metrics: dict[str, float] = runner.val()
        return metrics


def _initialize(runner: Runner, backbone: Backbone) -> None:
    model = _unwrapped(runner)
    init_default_scope("mmseg")
    model.init_weights()  # once: mmengine passes over a model that is initialized
    if isinstance(model.backbone, WrappedMaps):
        model.backbone.load_backbone(backbone)
    else:
        load_backbone(model.backbone, backbone)


def _identity(backbone: Backbone, recipe: Recipe, context: Context, wrapped: bool) -> dict[str, Any]:
    """What decides the numbers: a folder with the states of another identity is refused."""
    assert context.data_root is not None
    data = digest_of_listing(context.data_root)
    identity = {"protocol": recipe.protocol, "backbone": backbone.digest, "seed": context.seed, "data": data}
    if wrapped or not isinstance(backbone.about, BackboneSpec):
        identity["wrapped"] = backbone.about.function
    return identity


def _train(
    runner: Runner, states: CheckpointManager, identity: dict[str, Any], recipe: UperNetRecipe, context: Context
) -> Report:
    report = Report(context, recipe.execution.log_every, recipe.protocol.global_batch)
    with StopGuard() as guard:
        runner.register_hook(report)
        interval = recipe.execution.checkpoint_every
        runner.register_hook(ResumableState(states, identity, guard, interval, context.seed))
        runner.train()
    context.throughput = report.throughput or None
    return report


def _final_metrics(runner: Runner, report: Report) -> dict[str, float]:
    if report.evaluated and report.evaluated[0] == runner.max_iters:
        return report.evaluated[1]
    metrics: dict[str, float] = runner.val()
    return metrics


def _write_results(runner: Runner, backbone: Backbone, context: Context) -> None:
    """Leaves per-image results, drawn predictions and the finished model in the run folder."""
    model, dataset = _unwrapped(runner), runner.val_dataloader.dataset
    names = [Path(dataset.get_data_info(i)["img_path"]).stem for i in range(len(dataset))]
    images = pd.DataFrame(runner.val_evaluator.metrics[0].images, columns=["miou", "aacc"])
    context.per_sample(images.assign(sample=names))
    for path in draw(model, dataset, context.folder / "predictions", DRAWN):
        context.artifact(f"prediction_{path.stem}", path)
    content = {"state_dict": model.state_dict(), "meta": {}, **written(backbone.about)}
    write_torch(content, context.folder / CHECKPOINT)
    context.artifact("checkpoint", context.folder / CHECKPOINT)


def _unwrapped(runner: Runner) -> Any:
    return getattr(runner.model, "module", runner.model)
