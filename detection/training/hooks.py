"""Hooks of detectron2's trainer: reporting, and saving before the run is left."""

import time
from collections.abc import Callable, Mapping

from detectron2.engine import HookBase

from crossmae.run.stop import StopGuard, Stopped
from crossmae.train.runtime.distributed import World
from detection.training.checkpoint import AtomicCheckpointer

STATE = "state"


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

    def __init__(self, checkpointer: AtomicCheckpointer, guard: StopGuard, world: World, every: int) -> None:
        self.checkpointer, self.guard, self.world, self.every = checkpointer, guard, world, every

    def after_step(self) -> None:
        """Raises Stopped once the state is on disk."""
        done = self.trainer.iter + 1
        asked = any(self.world.gather(self.guard.requested))
        if asked or done % self.every == 0 or done == self.trainer.max_iter:
            self.checkpointer.save(STATE)
        if asked:
            raise Stopped(f"stopped by {self.guard.reason or 'another process'} after iteration {done}")
