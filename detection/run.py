"""One run of ViTDet: build, load weights, train, evaluate. Imports detectron2."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from detectron2.config import instantiate
from detectron2.utils import comm
from torch import nn

from crossmae.backbone import Backbone
from crossmae.parsing import parse
from crossmae.recipe import Recipe
from crossmae.train.runtime.distributed import join_world
from crossmae.train.runtime.precision import matmul_precision
from detection.build.build import check_dims
from detection.build.dims import Dims
from detection.build.loader import loader_config
from detection.build.model import model_config
from detection.data.register import read_dicts, register
from detection.data.samples import KeyedSamples
from detection.evaluation.draw import draw_predictions
from detection.evaluation.finished import dims_of, has_relative_positions, load_detector, read_detector
from detection.evaluation.metrics import evaluate, metrics_of, write_classes
from detection.recipe import Execution, Protocol
from detection.training.train import Job, train
from detection.weights import load_backbone
from transfer.task import Context

FINAL_WEIGHTS = "model_final.pth"
"""The trained detector under detectron2's own name and keys."""

Dicts = list[dict[str, Any]]


def train_vitdet(backbone: Backbone, recipe: Recipe, context: Context, relative_positions: bool) -> dict[str, float]:
    """Trains a detector on ``backbone`` and evaluates it; the metrics are returned on every process."""

    def work(job: Job) -> dict[str, float]:
        data = _Data.read(job)
        model = _model(job, relative_positions)
        loaded = load_backbone(model.backbone.net, backbone)
        if job.world.is_main:
            zero = len(loaded.starting_at_zero)
            print(f"backbone loaded; without use: {', '.join(loaded.not_used) or 'nothing'};", end=" ")
            print(f"starting at zero: {zero} tables of relative positions", flush=True)
        train(model, KeyedSamples(data.train, instantiate(data.loaders.train.mapper), context.seed), job)
        metrics = _score(model, data, job)
        if job.world.is_main:
            _finish(model, job)
        return metrics

    mixed = "bf16 in place of fp16" if context.precision == "bf16" else "fp32 in place of"
    context.deviation(f"{mixed} mixed precision")
    return _with_job(recipe, context, Dims.of(backbone.spec), work)


def evaluate_vitdet(weights: Path, recipe: Recipe, context: Context) -> dict[str, float]:
    """Evaluates the finished detector in ``weights``."""
    state = read_detector(weights)

    def work(job: Job) -> dict[str, float]:
        data = _Data.read(job)
        model = _model(job, has_relative_positions(state))
        load_detector(model, state, weights)
        return _score(model, data, job)

    return _with_job(recipe, context, dims_of(state), work)


@dataclass(frozen=True)
class _Data:
    loaders: Any
    train: Dicts
    val: Dicts

    @classmethod
    def read(cls, job: Job) -> "_Data":
        root = job.context.data_root
        assert root is not None
        dicts = [read_dicts(root, split, job.protocol.classes) for split in ("train", "val")]
        names = register(root, "train"), register(root, "val")
        return cls(loader_config(job.protocol, names, job.execution.workers, job.execution.test_batch), *dicts)


def _with_job(
    recipe: Recipe, context: Context, dims: Dims, work: Callable[[Job], dict[str, float]]
) -> dict[str, float]:
    protocol = parse(Protocol, recipe.protocol, recipe.name)
    execution = parse(Execution, recipe.execution, recipe.name)
    check_dims(protocol, dims)
    with join_world("auto") as world, forgetting_groups(), matmul_precision(execution.matmul_precision):
        metrics = work(Job(protocol, execution, dims, world, context))
        return dict(world.share(metrics))


@contextmanager
def forgetting_groups() -> Iterator[None]:
    """Has detectron2 forget the process group that it keeps for the life of the process.

    A group that is still held when Python ends aborts the process now and then: its threads hold tensors.
    """
    try:
        yield
    finally:
        comm._get_global_gloo_group.cache_clear()


def _model(job: Job, relative_positions: bool) -> Any:
    execution, device = job.execution, job.world.device
    fused = execution.attention == "fused" or (execution.attention == "auto" and device.type == "cuda")
    torch.manual_seed(job.context.seed)
    config = model_config(job.protocol, job.dims, relative_positions, fused, execution.activation_checkpointing)
    return instantiate(config).to(device)


def _score(model: nn.Module, data: _Data, job: Job) -> dict[str, float]:
    """Metrics and pictures, on the main process; nothing on the others."""
    folder, name = job.context.folder / "artifacts", data.loaders.test.dataset.names
    folder.mkdir(exist_ok=True)
    loader = instantiate(data.loaders.test)
    results = evaluate(model, loader, name, folder)
    if not job.world.is_main:
        return {}
    write_classes(results, folder / "class_ap.json")
    shown = range(min(job.execution.drawn_images, len(data.val)))
    samples, truths = [loader.dataset[i] for i in shown], [data.val[i] for i in shown]
    draw_predictions(model, samples, truths, name, folder / "detections.png")
    job.context.artifact("detections", folder / "detections.png")
    job.context.artifact("class_ap", folder / "class_ap.json")
    return metrics_of(results)


def _finish(model: nn.Module, job: Job) -> None:
    """Leaves the trained detector in place of the resume state."""
    path = job.context.folder / FINAL_WEIGHTS
    torch.save({"model": model.state_dict()}, path)
    job.context.artifact("model", path)
    shutil.rmtree(job.state_folder, ignore_errors=True)
