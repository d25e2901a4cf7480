"""One run of ViTDet: build, load the backbone, train, evaluate. Imports detectron2."""

import shutil
from typing import Any

import torch
from detectron2.config import instantiate
from detectron2.utils import comm
from torch import nn

from crossmae.backbone import Backbone
from crossmae.recipe import Recipe
from crossmae.train.world import join_world
from detection.configs.build import check_dims
from detection.configs.dims import Dims
from detection.configs.loader import loader_config
from detection.configs.model import model_config
from detection.data.register import read_dicts, register
from detection.data.samples import KeyedSamples
from detection.evaluate.draw import draw_predictions
from detection.evaluate.metrics import evaluate, metrics_of, write_classes
from detection.protocol import Execution, Protocol, parse
from detection.train.run import Job, train
from detection.weights import load_backbone
from transfer.task import Context

FINAL_WEIGHTS = "model_final.pth"
"""The trained detector under detectron2's own name and keys."""


def run_vitdet(backbone: Backbone, recipe: Recipe, context: Context, relative_positions: bool) -> dict[str, float]:
    """Trains and evaluates; returns the metrics on every process."""
    protocol = parse(Protocol, recipe.protocol, recipe.name)
    execution = parse(Execution, recipe.execution, recipe.name)
    dims = Dims.of(backbone.spec)
    check_dims(protocol, dims)
    with join_world("auto") as world:
        if world.size > 1:
            comm.create_local_process_group(comm.get_world_size())
        job = Job(protocol, execution, dims, world, context)
        return world.share(_run(job, backbone, relative_positions))


def _run(job: Job, backbone: Backbone, relative_positions: bool) -> dict[str, float]:
    assert job.context.data_root is not None
    if job.context.precision != "bf16":
        job.context.deviation(f"{job.context.precision} in place of mixed precision")
    else:
        job.context.deviation("bf16 in place of fp16 mixed precision")
    train_dicts, val_dicts = (read_dicts(job.context.data_root, s, job.protocol.classes) for s in ("train", "val"))
    names = register(job.context.data_root, "train"), register(job.context.data_root, "val")
    loaders = loader_config(job.protocol, names, job.execution.workers, job.execution.test_batch)
    model = _model(job, backbone, relative_positions)
    samples = KeyedSamples(train_dicts, instantiate(loaders.train.mapper), job.context.seed)
    train(model, samples, job)
    return _evaluate(model, loaders, val_dicts, job)


def _model(job: Job, backbone: Backbone, relative_positions: bool) -> nn.Module:
    execution, device = job.execution, job.world.device
    fused = execution.attention == "fused" or (execution.attention == "auto" and device.type == "cuda")
    torch.set_float32_matmul_precision(execution.matmul_precision)
    torch.manual_seed(job.context.seed)
    config = model_config(job.protocol, job.dims, relative_positions, fused, execution.activation_checkpointing)
    model = instantiate(config)
    loaded = load_backbone(model.backbone.net, backbone)
    if job.world.is_main:
        print(f"backbone loaded; not used: {', '.join(loaded.not_used) or 'nothing'}; ", end="")
        print(f"starting at zero: {len(loaded.starting_at_zero)} relative position tables", flush=True)
    on_device: nn.Module = model.to(device)
    return on_device


def _evaluate(model: nn.Module, loaders: Any, val_dicts: list[dict[str, Any]], job: Job) -> dict[str, float]:
    folder = job.context.folder / "artifacts"
    loader = instantiate(loaders.test)
    results = evaluate(model, loader, loaders.test.dataset.names, folder)
    if not job.world.is_main:
        return {}
    write_classes(results, folder / "class_ap.json")
    count = min(job.execution.drawn_images, len(val_dicts))
    samples = [loader.dataset[index] for index in range(count)]
    draw_predictions(model, samples, val_dicts[:count], loaders.test.dataset.names, folder / "detections.png")
    torch.save({"model": model.state_dict()}, job.context.folder / FINAL_WEIGHTS)
    artifacts = {
        "detections": folder / "detections.png",
        "class_ap": folder / "class_ap.json",
        "predictions": folder / "coco_instances_results.json",
        "model": job.context.folder / FINAL_WEIGHTS,
    }
    for name, path in artifacts.items():
        if path.exists():
            job.context.artifact(name, path)
    shutil.rmtree(job.state_folder, ignore_errors=True)
    return metrics_of(results)
