"""A native config prepared for one of this project's runs: processes, precision, device, resumable samples."""

import os
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import torch
from mmengine.config import Config

from crossmae.errors import UserError
from crossmae.run.rank import under_torchrun, world_size
from crossmae.recipe import Recipe
from transfer.task import Context


@dataclass(frozen=True)
class Shares:
    """How one update's images are shared out."""

    per_process: int
    micro_batches: int

    @property
    def per_forward(self) -> int:
        """Images per forward pass and process."""
        return self.per_process // self.micro_batches


def shares(batch_size: int, processes: int, per_device_batch: int) -> Shares:
    """Shares ``batch_size`` images over ``processes``, at most ``per_device_batch`` at a time on each.

    Raises:
        UserError: they cannot be shared evenly.
    """
    if batch_size % processes:
        raise UserError(f"{batch_size} images do not divide among {processes} processes; use another number of devices")
    per_process = batch_size // processes
    parts = next(k for k in range(1, per_process + 1) if per_process % k == 0 and per_process // k <= per_device_batch)
    return Shares(per_process, parts)


def prepare(config: Config, recipe: Recipe, context: Context, background: int | None = None) -> Config:
    """Adds to ``config`` what this run needs, and notes on ``context`` what departs from the published protocol."""
    share = shares(config.train_dataloader.batch_size, processes(), recipe.execution["per_device_batch"])
    _samples(config, share, recipe.execution["workers"], context.seed)
    _schedule(config, share, recipe.execution["validate_every"])
    _precision(config, context)
    _kernels(config)
    _batch_norm(config, share, context)
    config.val_evaluator = {"type": "SegmentationMetric", "background": background}
    config.test_evaluator = config.val_evaluator
    config.default_hooks = {"logger": {**config.default_hooks.logger, "interval": recipe.execution["log_every"]}}
    # mmengine adds its own of these unless they are None; this project's state and samples take their place.
    config.default_hooks.update(checkpoint=None, sampler_seed=None)
    _environment(config, context)
    return config


def processes() -> int:
    """Number of processes that torchrun started for this run; 1 without it."""
    return world_size()


def _samples(config: Config, share: Shares, workers: int, seed: int) -> None:
    loader = config.train_dataloader
    loader.batch_size = share.per_process
    loader.sampler = {"type": "StreamSampler"}
    loader.dataset = {"type": "SampleStream", "dataset": loader.dataset, "seed": seed}
    for each in (config.train_dataloader, config.val_dataloader, config.test_dataloader):
        each.update(num_workers=workers, persistent_workers=workers > 0)


def _schedule(config: Config, share: Shares, validate_every: int) -> None:
    config.train_cfg.update(type="MicroBatchTrainLoop", micro_batches=share.micro_batches, val_interval=validate_every)
    config.optim_wrapper.accumulative_counts = share.micro_batches


def _precision(config: Config, context: Context) -> None:
    if context.precision == "bf16":
        config.optim_wrapper.type = "BFloat16OptimWrapper"
        context.deviation("bf16 autocast in training (published config: fp32)")


def _kernels(config: Config) -> None:
    """The same functions by faster kernels."""
    config.optim_wrapper.optimizer.fused = True
    # On a CPU, mmsegmentation's matrix products are as fast.
    if torch.cuda.is_available() and config.model.backbone.type == "MAE":
        config.model.backbone.update(type="PrefixMAE", num_prefix=1)


def _batch_norm(config: Config, share: Shares, context: Context) -> None:
    images = share.per_forward * processes()
    if not torch.cuda.is_available():
        # SyncBN refuses to run on the CPU as soon as there is a process group.
        images = share.per_forward
        for part in (config.model.neck, config.model.decode_head, config.model.auxiliary_head):
            part.norm_cfg = {"type": "BN", "requires_grad": True}
        context.deviation("batch norm per process instead of synchronized")
    if images != share.per_process * processes():
        context.deviation(f"batch norm over {images} images (batch: {share.per_process * processes()})")


def _environment(config: Config, context: Context) -> None:
    values: dict[str, Any] = {
        "work_dir": str(context.folder / "mmengine"),
        "experiment_name": f"upernet-{uuid4().hex}",  # mmengine keeps loggers by this name for the life of a process
        "launcher": "pytorch" if under_torchrun() else "none",
        "randomness": {"seed": context.seed},
    }
    config.update(values)
    if not torch.cuda.is_available():
        config.model_wrapper_cfg = {
            "type": "MMDistributedDataParallel",
            "device_ids": None,
            "broadcast_buffers": False,
        }
