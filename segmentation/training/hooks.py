"""What a run does around every update: report its progress, save and restore its state."""

import math
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from mmengine.dist import all_reduce, barrier, get_rank, is_distributed
from mmengine.hooks import Hook
from mmengine.runner import Runner

from crossmae.data.keyed import seed_libraries
from crossmae.errors import UserError
from crossmae.run.stop import StopGuard, Stopped
from crossmae.train.checkpoint.manager import CheckpointManager
from transfer.task import Context


class Report(Hook):
    """Reports to the run's Context every ``interval`` updates, and keeps the last evaluation's metrics."""

    priority = "LOW"

    def __init__(self, context: Context, interval: int, global_batch: int) -> None:
        self.context = context
        self.interval = interval
        self.global_batch = global_batch
        self.evaluated: tuple[int, dict[str, float]] | None = None
        """Update and metrics of the last evaluation."""
        self._images = 0
        self._seconds = 0.0
        self._started = 0.0

    def before_train_iter(self, _runner: Runner, **_: Any) -> None:
        """Starts the clock at the first iteration; loading counts, evaluation does not."""
        self._started = self._started or time.perf_counter()

    def after_train_iter(self, runner: Runner, batch_idx: int, outputs: Any, **_: Any) -> None:
        """Counts, and reports when it is due.

        Raises:
            UserError: the loss is not finite.
        """
        loss, step = float(outputs["loss"]), batch_idx + 1
        if not math.isfinite(loss):
            raise UserError(f"the loss is {loss} at step {step}", "lower lr, or train with precision fp32")
        self._count()
        if step % self.interval == 0 or step == runner.max_iters:
            self._write(step, runner.max_iters, {"loss": loss, "lr": _lr(runner), "images_per_second": self.throughput})

    def before_val(self, _runner: Runner) -> None:
        """Stops the clock."""
        self._started = 0.0

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Keeps the metrics and reports them as part of the learning curve."""
        if metrics:
            self.evaluated = (runner.iter, metrics)
            self._write(runner.iter, runner.max_iters, metrics)

    @property
    def throughput(self) -> float:
        """Images per second of training so far, over all processes."""
        return self._images / self._seconds if self._seconds else 0.0

    def _count(self) -> None:
        now = time.perf_counter()
        self._seconds += now - self._started
        self._started = now
        self._images += self.global_batch

    def _write(self, step: int, total: int, metrics: Mapping[str, float]) -> None:
        if get_rank() == 0:
            self.context.progress(step, total, metrics)


class ResumableState(Hook):
    """Restores the newest state before training; saves one every ``interval`` updates and before a requested stop.

    mmengine's own checkpoints hold pickled objects (log buffers), and its loader falls back to running what it cannot
    read safely. A state here holds the weights, the optimizer and the schedules, as tensors and plain values.
    """

    priority = "LOWEST"  # after the schedules have stepped

    def __init__(
        self,
        states: CheckpointManager,
        identity: Mapping[str, Any],
        guard: StopGuard,
        interval: int,
        seed: int,
    ) -> None:
        self.states = states
        self.identity = identity
        self.guard = guard
        self.interval = interval
        self.seed = seed

    def before_train(self, runner: Runner) -> None:
        """Resumes from the newest whole state; mmengine's loop then skips the samples that were trained on.

        Raises:
            UserError: the folder was started with another identity, or none of its states can be read.
        """
        step = self.states.restore(self.identity, partial(_load, runner))
        runner.train_loop._iter = step
        if step:
            runner.logger.info(f"resumed at step {step}")

    def before_train_iter(self, _runner: Runner, batch_idx: int, **_: Any) -> None:
        """Seeds dropout and drop path by the update, so that there is no random state to save."""
        seed_libraries(self.seed, batch_idx, get_rank())

    def after_train_iter(self, runner: Runner, batch_idx: int, **_: Any) -> None:
        """Saves when it is due.

        Raises:
            Stopped: a signal came to any of the processes; the state is saved.
        """
        step = batch_idx + 1
        stopping = _any_process(self.guard.requested, runner)
        if stopping or step % self.interval == 0 or step == runner.max_iters:
            self.states.save(step, _state(runner, step))
            barrier()
        if stopping:
            raise Stopped(f"stopped by {self.guard.reason or 'a signal to another process'} after step {step}")


def _state(runner: Runner, step: int) -> dict[str, Any]:
    return {
        "step": step,
        "model": _unwrapped(runner.model).state_dict(),
        "optimizer": runner.optim_wrapper.optimizer.state_dict(),
        "schedulers": [scheduler.state_dict() for scheduler in runner.param_schedulers],
    }


def _load(runner: Runner, state: Mapping[str, Any]) -> None:
    """Takes over what ``_state`` returned."""
    _unwrapped(runner.model).load_state_dict(state["model"])
    runner.optim_wrapper.optimizer.load_state_dict(state["optimizer"])
    for scheduler, values in zip(runner.param_schedulers, state["schedulers"], strict=True):
        scheduler.load_state_dict(values)


def _any_process(flag: bool, runner: Runner) -> bool:
    if not is_distributed():
        return flag
    flags = torch.tensor(float(flag), device=next(runner.model.parameters()).device)
    all_reduce(flags, "max")
    return bool(flags)


def _unwrapped(model: torch.nn.Module) -> torch.nn.Module:
    return getattr(model, "module", model)


def _lr(runner: Runner) -> float:
    """The learning rate of the heads, which no layer decay scales."""
    return max(group["lr"] for group in runner.optim_wrapper.optimizer.param_groups)
