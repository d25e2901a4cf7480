"""What a run reports between two lines of its log."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

from crossmae.run.memory import peak_memory
from crossmae.train.monitor.health import Verdict


@dataclass
class Meter:
    """Collects over the updates since the last line; ``batch`` is the number of samples of an update."""

    batch: int
    device: torch.device
    waited: float = 0.0
    """Seconds spent waiting for data since the last line."""
    updates: int = 0
    seconds: float = 0.0
    """Training time of this start, without evaluations and saving."""
    _losses: list[float] = field(default_factory=list)
    _grad_norm: float = 0.0
    _since: float = field(default_factory=time.perf_counter)

    def add(self, verdict: Verdict) -> None:
        """Takes in one update."""
        self._losses.append(verdict.loss)
        self._grad_norm = verdict.grad_norm
        self.updates += 1

    def pause(self) -> None:
        """Stops the clock for something that is not training; ``line`` and ``resume`` start it again."""
        self.seconds += time.perf_counter() - self._since
        self._since = time.perf_counter()

    def resume(self) -> None:
        """Starts the clock again."""
        self._since = time.perf_counter()

    @property
    def images_per_second(self) -> float | None:
        """Since this start."""
        return self.updates * self.batch / self.seconds if self.updates and self.seconds else None

    def line(self, lr: float) -> dict[str, float]:
        """Loss (mean since the last line), learning rate, gradient norm, speed, waiting share, greatest memory."""
        elapsed = max(time.perf_counter() - self._since, 1e-9)
        values = {
            "loss": sum(self._losses) / max(len(self._losses), 1),
            "lr": lr,
            "grad_norm": self._grad_norm,
            "images_per_second": len(self._losses) * self.batch / elapsed,
            "waiting": self.waited / elapsed,
            "memory": float(peak_memory(self.device.type == "cuda")),
        }
        self.pause()
        self._losses, self.waited = [], 0.0
        return values


def describe(step: int, total: int, values: Mapping[str, float]) -> str:
    """One log line."""
    return (
        f"update {step}/{total}  loss {values['loss']:.4f}  lr {values['lr']:.3g}  "
        f"grad norm {values['grad_norm']:.3g}  {values['images_per_second']:.0f} images/s  "
        f"waiting {values['waiting']:.0%}  {values['memory'] / 2**30:.2f} GiB"
    )
