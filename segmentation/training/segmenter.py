"""One run of a segmenter from its prepared config: trained and evaluated, or evaluated only."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from mmengine.config import Config
from mmengine.dist import barrier
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from torch import nn

from crossmae.backbone import Backbone
from crossmae.recipe import TypedRecipe
from crossmae.run.stop import StopGuard
from crossmae.train.checkpoint.manager import CheckpointManager
from crossmae.train.runtime.distributed import join_world
from crossmae.train.runtime.precision import matmul_precision
from crossmae.weights.files import Weights, write_torch
from crossmae.wrapped.spec import written
from segmentation.evaluation.finished import require_fit
from segmentation.evaluation.metrics import draw
from segmentation.recipe import P, SegmentationExecution
from segmentation.training.hooks import Report, ResumableState
from transfer.task import Context

DRAWN = 6
"""Validation images whose predictions are drawn."""


def train_segmenter(
    config: Callable[[], Config],
    load: Callable[[nn.Module], None],
    backbone: Backbone,
    identity: Mapping[str, Any],
    recipe: TypedRecipe[P, SegmentationExecution],
    context: Context,
    checkpoint: str,
) -> dict[str, float]:
    """Trains the segmenter of a config and returns its validation metrics in percent.

    Args:
        config: makes the prepared config, in a process that has joined the others.
        load: fills the segmenter's backbone with the weights of ``backbone``.
        identity: what decides the numbers; a folder with the states of another identity is refused.
        checkpoint: name of the finished model in the run folder, an mmengine checkpoint.

    Raises:
        Stopped: a signal came; the state is saved.
        UserError: backbone or data do not fit, the loss is not finite, the folder holds another run's states.
    """
    with join_world("auto") as world, matmul_precision(recipe.execution.matmul_precision):
        runner = Runner.from_cfg(config())
        world.adopt(runner.model)
        init_default_scope("mmseg")
        _unwrapped(runner).init_weights()  # once: mmengine passes over a model that is initialized
        load(_unwrapped(runner).backbone)
        states = CheckpointManager(context.folder, world)
        report = _train(runner, states, identity, recipe, context)
        metrics = _final_metrics(runner, report)
        if world.is_main:
            _write_results(runner, backbone, context, checkpoint)
            shutil.rmtree(states.folder)
        barrier()
        return metrics


def evaluate_segmenter(
    config: Callable[[], Config], weights: Weights, source: Path, execution: SegmentationExecution, context: Context
) -> dict[str, float]:
    """Validation metrics in percent of a finished segmenter's ``weights``, in as many processes as torchrun started.

    Raises:
        UserError: the weights, those of the file ``source``, are not those of the config's segmenter.
    """
    with join_world("auto") as world, matmul_precision(execution.matmul_precision):
        runner = Runner.from_cfg(config())
        world.adopt(runner.model)
        model = _unwrapped(runner)
        require_fit(weights, model.state_dict(), source)
        model.load_state_dict(weights)
        metrics: dict[str, float] = runner.val()
        if world.is_main:
            _write_classes(runner, context)
        return metrics


def _train(
    runner: Runner,
    states: CheckpointManager,
    identity: Mapping[str, Any],
    recipe: TypedRecipe[P, SegmentationExecution],
    context: Context,
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


def _write_results(runner: Runner, backbone: Backbone, context: Context, checkpoint: str) -> None:
    """Leaves per-image results, drawn predictions and the finished model in the run folder."""
    model, dataset = _unwrapped(runner), runner.val_dataloader.dataset
    names = [Path(dataset.get_data_info(i)["img_path"]).stem for i in range(len(dataset))]
    images = pd.DataFrame(runner.val_evaluator.metrics[0].images, columns=["miou", "aacc"])
    context.per_sample(images.assign(sample=names))
    _write_classes(runner, context)
    for path in draw(model, dataset, context.folder / "predictions", DRAWN):
        context.artifact(f"prediction_{path.stem}", path)
    content = {"state_dict": model.state_dict(), "meta": {}, **written(backbone.about)}
    write_torch(content, context.folder / checkpoint)
    context.artifact("checkpoint", context.folder / checkpoint)


def _write_classes(runner: Runner, context: Context) -> None:
    images, shares = zip(*runner.val_evaluator.metrics[0].of_classes, strict=True)
    context.classes(runner.val_dataloader.dataset.metainfo["classes"], images, {"iou": shares})


def _unwrapped(runner: Runner) -> Any:
    return getattr(runner.model, "module", runner.model)
