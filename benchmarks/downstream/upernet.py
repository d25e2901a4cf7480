"""UperNet iterations of mmengine's Runner, hooks included: mmsegmentation's own config, and ours."""

import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch.utils.data import DataLoader

from benchmarks.downstream.cases import Build, Size, Step
from crossmae.backbone import Backbone
from crossmae.recipe import load_recipe
from crossmae.run.stop import StopGuard
from crossmae.train.checkpoint.manager import CheckpointManager
from crossmae.train.runtime.distributed import World
from segmentation.build.config import upernet
from segmentation.build.prepare import prepare
from segmentation.recipe import RECIPES, UperNetRecipe, read_recipe
from segmentation.training.hooks import Report, ResumableState
from transfer.task import Context

BACKBONES = {"ade20k_upernet_demo": "random:vit_demo", "ade20k_upernet_vit_b16": "random:vit_b16"}


def ours(size: Size, device: torch.device) -> Step:
    """The Runner of our runs, with their hooks; bf16 on a GPU."""
    recipe, precision = _recipe(size), "bf16" if device.type == "cuda" else "fp32"
    torch.set_float32_matmul_precision(recipe.execution.matmul_precision)
    context = Context(Path(tempfile.mkdtemp()), Path(), seed=0, precision=precision)
    runner = Runner.from_cfg(prepare(_config(size, recipe), recipe.execution, context))
    runner.register_hook(Report(context, recipe.execution.log_every, size.batch))
    states = CheckpointManager(context.folder, World(0, 1, device))
    runner.register_hook(ResumableState(states, {}, StopGuard(), recipe.execution.checkpoint_every, seed=0))
    return _stepping(runner, size)


def mmseg_(
    size: Size,
    _device: torch.device,
    fused: bool = False,
    attention: bool = False,
    channels: bool = False,
    precision: bool = False,
) -> Step:
    """mmsegmentation's config as it is; ``fused`` and the like are changes, one at a time."""
    config = _config(size, _recipe(size))
    config.update(work_dir=tempfile.mkdtemp(), randomness={"seed": 0})
    if fused:
        config.optim_wrapper.optimizer.fused = True
    if attention:
        config.model.backbone.update(type="PrefixMAE", num_prefix=1)
    runner = Runner.from_cfg(config)
    if precision:
        torch.set_float32_matmul_precision("medium")
    if channels:
        runner.model.to(memory_format=torch.channels_last)
    return _stepping(runner, size)


def _recipe(size: Size) -> UperNetRecipe:
    side = size.image_size
    values = [f"global_batch={size.batch}", f"per_device_batch={size.batch}", f"crop={side}"]
    return read_recipe(load_recipe(RECIPES, size.recipe, values))


def _config(size: Size, recipe: UperNetRecipe) -> Config:
    names = tuple(str(label) for label in range(recipe.protocol.classes or 150))
    return upernet(recipe.protocol, Backbone.load(BACKBONES[size.recipe]).spec, Path("none"), names)


def _stepping(runner: Runner, size: Size) -> Step:
    """What ``Runner.train`` does before its first iteration, without data on disk; then iteration by iteration."""
    runner._train_dataloader = DataLoader([0])  # type: ignore[arg-type]  # a list will do
    loop = runner.train_loop
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    runner.param_schedulers = runner.build_param_scheduler(runner.param_schedulers)
    runner.call_hook("before_run")
    runner.model.init_weights()
    runner.optim_wrapper.initialize_count_status(runner.model, 0, -1)
    runner.call_hook("before_train")
    runner.call_hook("before_train_epoch")
    runner.model.train()
    batch = _images(size, runner.cfg.model.decode_head.num_classes)
    return lambda: loop.run_iter(batch)


def _images(size: Size, classes: int) -> dict[str, list[Any]]:
    shape = (size.image_size, size.image_size)
    samples = []
    for _ in range(size.batch):
        sample = SegDataSample(metainfo={"img_shape": shape, "ori_shape": shape})
        sample.gt_sem_seg = PixelData(data=torch.randint(classes, (1, *shape)))
        samples.append(sample)
    return {"inputs": [torch.randint(256, (3, *shape), dtype=torch.uint8) for _ in samples], "data_samples": samples}


BUILD: Mapping[str, Build] = {
    "mmseg": mmseg_,
    "mmseg+fused": partial(mmseg_, fused=True),
    "mmseg+attention": partial(mmseg_, attention=True),
    "mmseg+memory": mmseg_,
    "mmseg+precision": partial(mmseg_, precision=True),
    "mmseg+channels": partial(mmseg_, channels=True),
    "ours": ours,
}
