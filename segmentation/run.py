"""One run of UperNet: build, load the backbone, train, evaluate."""

import shutil
from pathlib import Path

import mmseg.models  # noqa: F401 (fills mmengine's registries)
import pandas as pd
import torch
from mmengine.config import Config
from mmengine.dist import barrier, get_rank
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

import segmentation.data.samples
import segmentation.evaluation.metrics
import segmentation.model.prefix_mae
import segmentation.training.loop
import segmentation.training.precision  # noqa: F401 (registers BFloat16OptimWrapper)
from crossmae.backbone import Backbone, BackboneSpec
from crossmae.recipe import Recipe, digest_of
from crossmae.run.stop import StopGuard
from crossmae.train.runtime.distributed import join_world
from crossmae.train.runtime.precision import matmul_precision
from segmentation.build.config import upernet
from segmentation.build.prepare import prepare
from segmentation.data.layout import class_names
from segmentation.evaluation.draw import draw
from segmentation.training.checkpoint import ResumableState, StateFile
from segmentation.training.hooks import Report
from segmentation.weights import load_backbone
from transfer.task import Context

DRAWN = 6
CHECKPOINT = "upernet.pth"


def train(backbone: Backbone, recipe: Recipe, context: Context) -> dict[str, float]:
    """Fine-tunes ``backbone`` under UperNet and returns its validation metrics in percent.

    Raises:
        Stopped: a signal came; the state is saved.
        UserError: the backbone does not fit, the loss is not finite, the state is another run's.
    """
    with join_world("auto") as world, matmul_precision(recipe.execution["matmul_precision"]):
        runner = Runner.from_cfg(configure(backbone.spec, recipe, context))
        world.adopt(runner.model)
        return _train(runner, backbone, recipe, context)


def _train(runner: Runner, backbone: Backbone, recipe: Recipe, context: Context) -> dict[str, float]:
    _initialize(runner, backbone)
    report = Report(context, recipe.execution["log_every"], recipe.protocol["batch_size"])
    state = StateFile(context.folder / "state" / "latest.pth", _identity(backbone, recipe, context))
    with StopGuard() as guard:
        runner.register_hook(report)
        runner.register_hook(ResumableState(state, guard, recipe.execution["checkpoint_every"], context.seed))
        runner.train()
    context.throughput = report.throughput or None
    metrics = _final_metrics(runner, report)
    if get_rank() == 0:
        _leave(runner, context)
        shutil.rmtree(state.path.parent)
    barrier()
    return metrics


def configure(spec: BackboneSpec, recipe: Recipe, context: Context) -> Config:
    """The mmengine config of this run."""
    assert context.data_root is not None
    names = class_names(context.data_root)
    background = names.index("background") if "background" in names else None
    return prepare(upernet(recipe.protocol, spec, context.data_root, names), recipe, context, background)


def _initialize(runner: Runner, backbone: Backbone) -> None:
    model = getattr(runner.model, "module", runner.model)
    init_default_scope("mmseg")
    model.init_weights()  # once: mmengine passes over a model that is initialized
    load_backbone(model.backbone, backbone)


def _identity(backbone: Backbone, recipe: Recipe, context: Context) -> str:
    return digest_of([recipe.protocol, backbone.digest, context.seed])


def _final_metrics(runner: Runner, report: Report) -> dict[str, float]:
    if report.validated and report.validated[0] == runner.max_iters:
        return report.validated[1]
    metrics: dict[str, float] = runner.val()
    return metrics


def _leave(runner: Runner, context: Context) -> None:
    model = getattr(runner.model, "module", runner.model)
    dataset = runner.val_dataloader.dataset
    names = [Path(dataset.get_data_info(i)["img_path"]).stem for i in range(len(dataset))]
    images = pd.DataFrame(runner.val_evaluator.metrics[0].images, columns=["miou", "aacc"])
    context.per_sample(images.assign(sample=names))
    for path in draw(model, dataset, context.folder / "predictions", DRAWN):
        context.artifact(f"prediction_{path.stem}", path)
    torch.save({"state_dict": model.state_dict(), "meta": {}}, context.folder / CHECKPOINT)
    context.artifact("checkpoint", context.folder / CHECKPOINT)
