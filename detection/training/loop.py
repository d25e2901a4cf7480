"""detectron2's SimpleTrainer with micro-batches, bf16 and repeatable random numbers, and the hooks of our runs."""

import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from detectron2.engine import HookBase, SimpleTrainer
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from crossmae.data.keyed import seed_libraries
from crossmae.run.stop import StopGuard, Stopped
from crossmae.train.runtime.distributed import World
from detection.training.checkpoint import DetectorStates


class MicroBatchTrainer(SimpleTrainer):
    """One iteration is ``micro_batches`` forward and backward passes and one update.

    Schedules, hooks and checkpoints count iterations, so a recipe is the same for any number of micro-batches.

    Args:
        micro_batches: consecutive batches of the loader that one iteration takes.
        bf16: autocast the forward pass (weights, optimizer and losses in fp32; no scaling is needed).
        clip_grad: greatest norm of the whole gradient; None for no clipping.
        seed: keys the random numbers of each micro-batch, so that a resumed run repeats them.
        options: as ``SimpleTrainer``.
    """

    def __init__(self, *, micro_batches: int, bf16: bool, clip_grad: float | None, seed: int, **options: Any) -> None:
        super().__init__(**options)
        self.micro_batches = micro_batches
        self.bf16 = bf16
        self.clip_grad = clip_grad
        self.seed = seed

    def run_step(self) -> None:
        """Runs one iteration."""
        self.optimizer.zero_grad()
        losses: defaultdict[str, float | Tensor] = defaultdict(float)
        for index in range(self.micro_batches):
            for name, loss in self._backward(index).items():
                losses[name] = losses[name] + loss.detach() / self.micro_batches
        self.after_backward()
        # Raises on a loss that is not finite, before the weights take it in.
        self._write_metrics(losses, data_time=0.0)
        if self.clip_grad is not None:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.clip_grad)
        self.optimizer.step()

    def _backward(self, index: int) -> dict[str, Tensor]:
        batch = next(self._data_loader_iter)
        seed_libraries(self.seed, self.iter, index)
        device = next(self.model.parameters()).device.type
        with self._synchronised(index == self.micro_batches - 1):
            with torch.autocast(device, torch.bfloat16, enabled=self.bf16):
                losses: dict[str, Tensor] = self.model(batch)
                total = torch.stack(list(losses.values())).sum() / self.micro_batches
            total.backward()
        return losses

    def _synchronised(self, last: bool) -> AbstractContextManager[None]:
        """Gradients are exchanged between processes once, with the last micro-batch."""
        if isinstance(self.model, DistributedDataParallel) and not last:
            return self.model.no_sync()
        return nullcontext()


class Report(HookBase):
    """Reports loss, learning rate and images per second every ``every`` iterations, on the main process."""

    def __init__(self, progress: Callable[[int, int, Mapping[str, float]], None], batch: int, every: int) -> None:
        self.progress, self.batch, self.every = progress, batch, every
        self.trained_seconds = 0.0
        self._window_seconds = 0.0
        self._window = 0

    def before_step(self) -> None:
        """Starts the iteration's clock."""
        self._started = time.perf_counter()

    def after_step(self) -> None:
        """Adds up, and reports when it is time."""
        seconds = time.perf_counter() - self._started
        self.trained_seconds += seconds
        self._window_seconds += seconds
        self._window += 1
        done = self.trainer.iter + 1
        if done % self.every == 0 or done == self.trainer.max_iter:
            self._report(done)

    def _report(self, done: int) -> None:
        latest = self.trainer.storage.latest()
        names = [name for name in latest if name.startswith("loss_")]
        values = {"loss": latest["total_loss"][0], **{name: latest[name][0] for name in names}}
        values["lr"] = latest["lr"][0]
        values["images_per_second"] = self._window * self.batch / max(self._window_seconds, 1e-9)
        self.progress(done, self.trainer.max_iter, {name: float(value) for name, value in values.items()})
        self._window, self._window_seconds = 0, 0.0

    def images_per_second(self) -> float | None:
        """Over all iterations of this start; None if there was none."""
        iterations = self.trainer.iter - self.trainer.start_iter
        return iterations * self.batch / self.trained_seconds if iterations and self.trained_seconds else None


class SaveAndStop(HookBase):
    """Saves every ``every`` iterations, at the end, and when any process was asked to stop; then leaves."""

    def __init__(self, states: DetectorStates, guard: StopGuard, world: World, every: int) -> None:
        self.states, self.guard, self.world, self.every = states, guard, world, every

    def after_step(self) -> None:
        """Raises Stopped once the state is on disk."""
        done = self.trainer.iter + 1
        stopping = any(self.world.gather(self.guard.requested))
        if stopping or done % self.every == 0 or done == self.trainer.max_iter:
            self.states.save(done)
        if stopping:
            raise Stopped(f"stopped by {self.guard.reason or 'another process'} after iteration {done}")
