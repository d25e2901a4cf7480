"""Fine-tuning steps: timm's model, optimizer, loss and mixup in the order of its training script, and ours."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.downstream.cases import Build, Size, Step
from crossmae.backbone import Backbone
from crossmae.recipe import load_recipe
from crossmae.train.config import split_batch
from crossmae.train.runtime.distributed import World
from crossmae.train.step import Updates
from crossmae.wrapped.attention import use_fastest_attention
from transfer.classification.finetune import Finetune
from transfer.classification.job import ClassificationJob, make_job
from transfer.datasets.labelled import LabelledImages
from transfer.task import Context

RECIPES = Path("transfer/classification/recipes")
CLASSES = {"imagenet_finetune_demo": 10, "imagenet_finetune_vit_b16": 1000}
BACKBONES = {"imagenet_finetune_demo": "random:vit_demo", "imagenet_finetune_vit_b16": "random:vit_b16"}


def ours(size: Size, device: torch.device, **values: Any) -> Step:
    """The engine's update, in bf16 on a GPU; ``values`` of the execution in place of the recipe's."""
    job = _job(size)
    execution = replace(job.execution, **{**({"precision": "bf16"} if device.type == "cuda" else {}), **values})
    torch.set_float32_matmul_precision(execution.matmul_precision)
    world = World(0, 1, device)
    split = split_batch(size.batch, 1, size.batch)
    updates = Updates(job.workload, job.plan, execution, world, split)
    updates.prepare()
    steps, batches = iter(range(10**9)), _batches(size, device)
    return lambda: updates.make(next(steps), 1e-5, batches, False)


def timm(
    size: Size, device: torch.device, fused: bool = False, attention: bool = False, precision: bool = False
) -> Step:
    """timm's ``train.py``, on a GPU with ``--amp --amp-dtype bfloat16``.

    ``fused``, ``attention`` and ``precision`` are our changes, one at a time.
    """
    from timm.data import Mixup
    from timm.loss import LabelSmoothingCrossEntropy, SoftTargetCrossEntropy
    from timm.optim import create_optimizer_v2

    job = _job(size)
    assert isinstance(job.workload, Finetune)
    values = job.workload.protocol
    if precision:
        torch.set_float32_matmul_precision(job.execution.matmul_precision)
    model = _model(job, use_fastest_attention if attention else None).to(device).train()
    options = {"betas": values.betas, "layer_decay": values.layer_decay, **({"fused": True} if fused else {})}
    optimizer = create_optimizer_v2(model, opt="adamw", lr=1e-5, weight_decay=values.weight_decay, **options)
    mixes = bool(values.mixup or values.cutmix)
    smoothing, classes = values.label_smoothing, len(job.workload.train.classes)
    mix = Mixup(values.mixup, values.cutmix, label_smoothing=smoothing, num_classes=classes) if mixes else None
    loss_of: nn.Module = SoftTargetCrossEntropy() if mixes else LabelSmoothingCrossEntropy(smoothing)
    batches = _batches(size, device)

    def step() -> float:
        images, targets = next(batches)
        if mix is not None:
            images, targets = mix(images, targets)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            loss: Tensor = loss_of(model(images), targets)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss.item()

    return step


def _job(size: Size) -> ClassificationJob:
    classes = tuple(str(index) for index in range(CLASSES[size.recipe]))
    data = LabelledImages(Path(), ("none.jpg",) * size.batch, np.zeros(size.batch, np.int64), classes)
    recipe = load_recipe(RECIPES, size.recipe, [f"global_batch={size.batch}"])
    return make_job(Backbone.load(BACKBONES[size.recipe]), recipe, data, data, Context(Path(), Path(), seed=0))


def _model(job: ClassificationJob, change: Callable[[nn.Module, int], None] | None) -> nn.Module:
    assert isinstance(job.workload, Finetune)
    values, backbone = job.workload.protocol, job.workload.backbone
    model = backbone.to_timm(
        len(job.workload.train.classes),
        image_size=values.image_size,
        drop_path=values.drop_path,
        global_pool=values.pooling,
        expected_missing=backbone.spec.missing,
    )
    if change is not None:
        change(model, model.pos_embed.shape[1])
    return model


def _batches(size: Size, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    images = torch.randn(size.batch, 3, size.image_size, size.image_size, device=device)
    return repeat((images, torch.randint(CLASSES[size.recipe], (size.batch,), device=device)))


BUILD: Mapping[str, Build] = {
    "timm": timm,
    "timm+fused": partial(timm, fused=True),
    "timm+attention": partial(timm, attention=True),
    "timm+memory": timm,
    "timm+precision": partial(timm, precision=True),
    "ours": ours,
    "ours bf16": partial(ours, precision="bf16"),
    "ours compiled": partial(ours, compile=True),
}
