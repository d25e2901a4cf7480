"""From a model, an optimizer and samples to a trained model, going on where an earlier start was stopped."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detectron2.config import instantiate
from detectron2.engine import hooks
from torch import nn

from crossmae.errors import UserError
from crossmae.run.stop import StopGuard, Stopped
from crossmae.train.config import split_batch
from crossmae.train.runtime.distributed import World
from detection.build.dims import Dims
from detection.build.schedule import optimizer_config, schedule_config
from detection.data.samples import KeyedSamples, train_loader
from detection.recipe import Execution, Protocol
from detection.training.checkpoint import AtomicCheckpointer
from detection.training.hooks import STATE, Report, SaveAndStop
from detection.training.loop import MicroBatchTrainer
from transfer.task import Context


@dataclass(frozen=True)
class Job:
    """What a training run is made of."""

    protocol: Protocol
    execution: Execution
    dims: Dims
    world: World
    context: Context

    @property
    def state_folder(self) -> Path:
        """Where the run's resume state lies."""
        return self.context.folder / "state"


def train(model: nn.Module, samples: KeyedSamples, job: Job) -> None:
    """Trains ``model`` in place after the job's protocol.

    Raises:
        Stopped: a signal came; the state is saved.
        UserError: the loss became infinite or NaN, or the batch does not divide by the processes.
    """
    trainer = _trainer(model, job)
    checkpointer = AtomicCheckpointer(model, str(job.state_folder), trainer=trainer)
    resumed = checkpointer.resume(STATE)
    start = trainer.iter + 1 if resumed else 0
    if resumed and job.world.is_main:
        print(f"resumed at iteration {start} of {job.protocol.iterations}", flush=True)
    trainer.data_loader = _loader(samples, job, start)
    report = Report(job.context.progress, job.protocol.batch_size, job.execution.log_every)
    with StopGuard() as guard, _one_line(trainer):
        saving = SaveAndStop(checkpointer, guard, job.world, job.execution.checkpoint_every)
        trainer.register_hooks([report if job.world.is_main else None, saving])
        trainer.train(start, job.protocol.iterations)
    if job.world.is_main:
        job.context.throughput = report.images_per_second()


def _trainer(model: nn.Module, job: Job) -> MicroBatchTrainer:
    config = optimizer_config(job.protocol, job.dims)
    config.params.model = model
    config.fused = True
    split = split_batch(job.protocol.batch_size, job.world.size, job.execution.per_device_batch)
    trainer = MicroBatchTrainer(
        micro_batches=split.accumulation,
        bf16=job.context.precision == "bf16",
        clip_norm=job.protocol.clip_norm,
        seed=job.context.seed,
        model=job.world.wrap(model),
        data_loader=(),
        optimizer=instantiate(config),
    )
    # Registered before a state is loaded, which holds the hook's.
    trainer.register_hooks([hooks.LRScheduler(scheduler=instantiate(schedule_config(job.protocol)))])
    return trainer


def _loader(samples: KeyedSamples, job: Job, start: int) -> Any:
    protocol, execution = job.protocol, job.execution
    split = split_batch(protocol.batch_size, job.world.size, execution.per_device_batch)
    steps = (start, protocol.iterations)
    return train_loader(samples, protocol.batch_size, split, job.world.rank, steps, execution.workers)


@contextmanager
def _one_line(trainer: MicroBatchTrainer) -> Iterator[None]:
    """A stop is no error to log, and a loss that is not finite is one line to read."""
    logger = logging.getLogger("detectron2.engine.train_loop")
    logger.addFilter(_not_stopped)
    try:
        yield
    except FloatingPointError as error:
        reason = " ".join(str(error).split())[:300]
        remedy = "lower the learning rate or, with bf16, try fp32"
        raise UserError(f"training diverged at iteration {trainer.iter + 1} ({reason}); {remedy}") from error
    finally:
        logger.removeFilter(_not_stopped)


def _not_stopped(record: logging.LogRecord) -> bool:
    return not (record.exc_info and isinstance(record.exc_info[1], Stopped | FloatingPointError))
