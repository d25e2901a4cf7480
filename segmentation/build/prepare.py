"""A recipe on one of this project's runs: the native config plus processes, precision, device, resumable samples."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import mmseg.models  # noqa: F401 (registers mmsegmentation's classes)
import torch
from mmengine.config import Config

import segmentation.data.samples
import segmentation.training.loop  # noqa: F401 (registers what a prepared config names)
from crossmae.backbone import BackboneSpec, WrappedSpec
from crossmae.data.decode import allow_known_formats_only
from crossmae.errors import UserError
from crossmae.run.rank import under_torchrun, world_size
from segmentation.build.config import upernet
from segmentation.data.check import require_readable
from segmentation.data.layout import class_names
from segmentation.evaluation.metrics import SegmentationMetric
from segmentation.recipe import SegmentationExecution, UperNetProtocol, UperNetRecipe
from segmentation.wrapped import PROTOCOL, wrapped_departures
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


def configure(
    about: BackboneSpec | WrappedSpec,
    recipe: UperNetRecipe,
    context: Context,
    keep_zero: bool = False,
    wrapped: bool = False,
) -> Config:
    """Builds the mmengine config of a run, and notes on ``context`` what departs from the published protocol.

    Args:
        keep_zero: label 0 is the first class, and not ignored.
        wrapped: whether a plain ViT is wrapped, too, as every other backbone is.

    Raises:
        UserError: the recipe fits neither backbone, data nor number of processes.
    """
    assert context.data_root is not None
    protocol, names = recipe.protocol, class_names(context.data_root)
    assert protocol.classes is not None
    require_readable(context.data_root, protocol.classes)
    allow_known_formats_only()
    for text in _departures(protocol, about, wrapped):
        context.deviation(text)
    background = names.index("background") if "background" in names else None
    config = upernet(protocol, about, context.data_root, names, keep_zero, wrapped)
    return prepare(config, recipe.execution, context, background)


def prepare(
    config: Config, execution: SegmentationExecution, context: Context, background: int | None = None
) -> Config:
    """Adds to ``config`` what this run needs, and notes on ``context`` what departs from the published protocol."""
    share = shares(config.train_dataloader.batch_size, world_size(), execution.per_device_batch)
    _samples(config, share, execution.workers, context.seed)
    _schedule(config, share, execution.evaluate_every)
    _precision(config, context)
    _kernels(config)
    _batch_norm(config, share, context)
    config.val_evaluator = {"type": SegmentationMetric.__name__, "background": background}
    config.test_evaluator = config.val_evaluator
    config.default_hooks = {"logger": {**config.default_hooks.logger, "interval": execution.log_every}}
    # mmengine adds its own of these unless they are None; this project's state and samples take their place.
    config.default_hooks.update(checkpoint=None, sampler_seed=None)
    _environment(config, context)
    return config


def shares(global_batch: int, processes: int, per_device_batch: int) -> Shares:
    """Shares ``global_batch`` images over ``processes``, at most ``per_device_batch`` at a time on each.

    Raises:
        UserError: they cannot be shared evenly.
    """
    if global_batch % processes:
        raise UserError(
            f"{global_batch} images do not divide among {processes} processes", "use another number of devices"
        )
    per_process = global_batch // processes
    parts = next(k for k in range(1, per_process + 1) if per_process % k == 0 and per_process // k <= per_device_batch)
    return Shares(per_process, parts)


def _departures(protocol: UperNetProtocol, about: BackboneSpec | WrappedSpec, wrapped: bool) -> Iterator[str]:
    """What of a backbone departs from the published protocol, or from the one of wrapped backbones."""
    if wrapped or isinstance(about, WrappedSpec):
        if not wrapped:
            yield PROTOCOL
        yield from wrapped_departures(protocol, about)
    elif protocol.out_indices and max(protocol.out_indices) < about.depth - 1:
        blocks = ", ".join(map(str, protocol.out_indices))
        yield f"taps blocks {blocks} of {about.depth}, counted from 0: not the last one"


def _samples(config: Config, share: Shares, workers: int, seed: int) -> None:
    loader = config.train_dataloader
    loader.batch_size = share.per_process
    loader.sampler = {"type": "StreamSampler"}
    loader.dataset = {"type": "SampleStream", "dataset": loader.dataset, "seed": seed}
    for each in (config.train_dataloader, config.val_dataloader, config.test_dataloader):
        each.update(num_workers=workers, persistent_workers=workers > 0)


def _schedule(config: Config, share: Shares, evaluate_every: int) -> None:
    config.train_cfg.update(type="MicroBatchTrainLoop", micro_batches=share.micro_batches, val_interval=evaluate_every)
    config.optim_wrapper.accumulative_counts = share.micro_batches


def _precision(config: Config, context: Context) -> None:
    if context.precision == "bf16":
        config.optim_wrapper.type = "BFloat16OptimWrapper"
        context.deviation("bf16 autocast in training (published config, as mmengine reads it: fp32)")


def _kernels(config: Config) -> None:
    """Computes the same functions by faster kernels."""
    config.optim_wrapper.optimizer.fused = True
    # On a CPU, mmsegmentation's matrix products are as fast.
    if torch.cuda.is_available() and config.model.backbone.type == "MAE":
        config.model.backbone.update(type="PrefixMAE", num_prefix=1)


def _batch_norm(config: Config, share: Shares, context: Context) -> None:
    images = share.per_forward * world_size()
    if not torch.cuda.is_available():
        # SyncBN refuses to run on the CPU as soon as there is a process group.
        images = share.per_forward
        for name in {"neck", "decode_head", "auxiliary_head"} & config.model.keys():
            config.model[name].norm_cfg = {"type": "BN", "requires_grad": True}
        context.deviation("batch norm per process instead of synchronized")
    if images != share.per_process * world_size():
        context.deviation(f"batch norm over {images} images (batch: {share.per_process * world_size()})")


def _environment(config: Config, context: Context) -> None:
    values: dict[str, Any] = {
        "work_dir": str(context.folder / "mmengine"),
        "experiment_name": f"segmenter-{uuid4().hex}",  # mmengine keeps loggers by this name for the life of a process
        "launcher": "pytorch" if under_torchrun() else "none",
        "randomness": {"seed": context.seed},
        "log_processor": {**config.log_processor, "type": "PeakLogProcessor"},
    }
    config.update(values)
    if not torch.cuda.is_available():
        config.model_wrapper_cfg = {
            "type": "MMDistributedDataParallel",
            "device_ids": None,
            "broadcast_buffers": False,
        }
