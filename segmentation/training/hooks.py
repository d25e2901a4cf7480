"""Progress of a run: loss, learning rate and images per second."""

import math
import time
from collections.abc import Mapping
from typing import Any

from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.runner import Runner

from crossmae.errors import UserError
from transfer.task import Context


class Report(Hook):
    """Reports to the run's Context every ``interval`` iterations, and keeps the last validation's metrics."""

    priority = "LOW"

    def __init__(self, context: Context, interval: int, batch_size: int) -> None:
        self.context = context
        self.interval = interval
        self.batch_size = batch_size
        self.validated: tuple[int, dict[str, float]] | None = None
        """Iteration and metrics of the last validation."""
        self._images = 0
        self._seconds = 0.0
        self._started = 0.0

    def before_train_iter(self, _runner: Runner, **_: Any) -> None:
        """Starts the clock at the first iteration; loading counts, validation does not."""
        self._started = self._started or time.perf_counter()

    def after_train_iter(self, runner: Runner, batch_idx: int, outputs: Any, **_: Any) -> None:
        """Counts, and reports when it is due.

        Raises:
            UserError: the loss is not finite.
        """
        loss, step = float(outputs["loss"]), batch_idx + 1
        if not math.isfinite(loss):
            raise UserError(f"the loss is {loss} at step {step}; lower lr, or train with precision fp32")
        self._count()
        if step % self.interval == 0 or step == runner.max_iters:
            self._write(step, runner.max_iters, {"loss": loss, "lr": _lr(runner), "images_per_second": self.throughput})

    def before_val(self, _runner: Runner) -> None:
        """Stops the clock."""
        self._started = 0.0

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Keeps the metrics and reports them as part of the learning curve."""
        if metrics:
            self.validated = (runner.iter, metrics)
            self._write(runner.iter, runner.max_iters, metrics)

    @property
    def throughput(self) -> float:
        """Images per second of training so far, over all processes."""
        return self._images / self._seconds if self._seconds else 0.0

    def _count(self) -> None:
        now = time.perf_counter()
        self._seconds += now - self._started
        self._started = now
        self._images += self.batch_size

    def _write(self, step: int, total: int, metrics: Mapping[str, float]) -> None:
        if get_rank() == 0:
            self.context.progress(step, total, metrics)


def _lr(runner: Runner) -> float:
    """The learning rate of the heads, which no layer decay scales."""
    return max(group["lr"] for group in runner.optim_wrapper.optimizer.param_groups)
