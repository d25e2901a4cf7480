"""From a backbone to a trained detector and its metrics, resuming where an earlier start was stopped."""

import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from detectron2.config import instantiate
from detectron2.engine import hooks
from torch import nn

from crossmae.backbone import Backbone, BackboneSpec
from crossmae.errors import UserError, one_line
from crossmae.recipe import Recipe
from crossmae.run.stop import StopGuard, Stopped
from crossmae.train.checkpoint.manager import CheckpointManager
from crossmae.train.config import Split, split_batch
from crossmae.train.runtime.precision import precision_deviation
from crossmae.weights.files import write_torch
from crossmae.wrapped.spec import written
from detection.build.dims import Dims
from detection.build.optimizer import optimizer_config, schedule_config
from detection.data.samples import KeyedSamples, train_loader
from detection.evaluation.metrics import score
from detection.recipe import Masks
from detection.run import CocoData, VitDetRun, build_model, start_run
from detection.training.checkpoint import DetectorStates, identity_of
from detection.training.loop import MicroBatchTrainer, Report, SaveAndStop
from detection.weights import load_backbone
from detection.wrapped import PROTOCOL, wrapped_groups
from transfer.task import Context

FINAL_WEIGHTS = "model_final.pth"
"""The trained detector under detectron2's own name and keys."""

log = logging.getLogger("detection")


def train_vitdet(
    backbone: Backbone,
    recipe: Recipe,
    context: Context,
    relative_positions: bool,
    masks: Masks = "polygon",
    published: bool = False,
    wrapped: bool = False,
) -> dict[str, float]:
    """Trains a detector on ``backbone`` and evaluates it.

    Args:
        masks: how the masks of the data are kept; None for boxes alone, without a head of masks.
        published: whether the data is to be COCO 2017; other numbers of images are a deviation then.
        wrapped: whether a plain ViT is to be wrapped, too, as every other backbone is (``detection.wrapped``).

    Returns:
        Box and mask AP in percent, on every process.

    Raises:
        Stopped: a signal came; the state is saved.
        UserError: a faulty recipe, unusable data, a backbone that does not fit, another run's states in the folder, a
            loss that became infinite or NaN, or a batch that does not divide by the processes.
    """
    context.deviation(precision_deviation(context.precision))
    net = Dims.of(backbone.about) if isinstance(backbone.about, BackboneSpec) and not wrapped else backbone
    if net is backbone and not wrapped:
        context.deviation(PROTOCOL)
    with start_run(recipe, context, net, masks) as run:
        data = CocoData.read(run)
        if published:
            for text in data.departures():
                context.deviation(text)
        model = build_model(run, relative_positions)
        if net is not backbone:
            _load(model, backbone, run)
        manager = CheckpointManager(context.folder, run.world)
        identity = identity_of(backbone, recipe, context, relative_positions, net is backbone)
        _train(model, data.samples(context.seed), run, manager, identity)
        metrics = score(model, data, run)
        if run.world.is_main:
            _leave_weights(model, backbone, context)
            shutil.rmtree(manager.folder, ignore_errors=True)
        return dict(run.world.share(metrics))


def _load(model: Any, backbone: Backbone, run: VitDetRun) -> None:
    loaded = load_backbone(model.backbone.net, backbone)
    if run.world.is_main:
        unused, zero = ", ".join(loaded.not_used) or "nothing", len(loaded.starting_at_zero)
        log.info("backbone loaded; without use: %s; starting at zero: %d tables of relative positions", unused, zero)


def _train(
    model: nn.Module, samples: KeyedSamples, run: VitDetRun, manager: CheckpointManager, identity: dict[str, Any]
) -> None:
    """Trains ``model`` in place."""
    protocol, execution, world = run.protocol, run.execution, run.world
    split = split_batch(protocol.global_batch, world.size, execution.per_device_batch)
    trainer = _trainer(model, run, split)
    states = DetectorStates(manager, model, trainer.optimizer)
    start = states.resume(identity)
    if start and world.is_main:
        log.info("resumed at iteration %d of %d", start, protocol.steps)
    steps = (start, protocol.steps)
    trainer.data_loader = train_loader(samples, protocol.global_batch, split, world.rank, steps, execution.workers)
    report = Report(run.context.progress, protocol.global_batch, execution.log_every)
    with StopGuard() as guard, _one_line(trainer):
        saving = SaveAndStop(states, guard, world, execution.checkpoint_every)
        trainer.register_hooks([report if world.is_main else None, saving])
        trainer.train(*steps)
    if world.is_main:
        run.context.throughput = report.images_per_second()


def _trainer(model: nn.Module, run: VitDetRun, split: Split) -> MicroBatchTrainer:
    trainer = MicroBatchTrainer(
        micro_batches=split.accumulation,
        bf16=run.context.precision == "bf16",
        clip_grad=run.protocol.clip_grad,
        seed=run.context.seed,
        model=run.world.wrap(model, broadcast_buffers=False),  # as detectron2; they are constants
        data_loader=(),
        optimizer=_optimizer(model, run),
    )
    trainer.register_hooks([hooks.LRScheduler(scheduler=instantiate(schedule_config(run.protocol)))])
    return trainer


def _optimizer(model: nn.Module, run: VitDetRun) -> torch.optim.Optimizer:
    protocol = run.protocol
    if not isinstance(run.net, Dims):
        return torch.optim.AdamW(wrapped_groups(model, protocol), protocol.lr, protocol.betas, fused=True)
    optimizer = optimizer_config(protocol, run.net)
    optimizer.params.model = model
    optimizer.fused = True
    return instantiate(optimizer)


def _leave_weights(model: nn.Module, backbone: Backbone, context: Context) -> None:
    path = context.folder / FINAL_WEIGHTS
    write_torch({"model": model.state_dict(), **written(backbone.about)}, path)
    context.artifact("model", path)


@contextmanager
def _one_line(trainer: MicroBatchTrainer) -> Iterator[None]:
    """Keeps a stop out of the log of errors, and makes a loss that is not finite one line to read."""
    logger = logging.getLogger("detectron2.engine.train_loop")
    logger.addFilter(_is_error)
    try:
        yield
    except FloatingPointError as error:
        reason = one_line(error, 300)
        remedy = "lower the learning rate or, with bf16, try fp32"
        raise UserError(f"training diverged at iteration {trainer.iter + 1} ({reason})", remedy) from error
    finally:
        logger.removeFilter(_is_error)


def _is_error(record: logging.LogRecord) -> bool:
    return not (record.exc_info and isinstance(record.exc_info[1], Stopped | FloatingPointError))
