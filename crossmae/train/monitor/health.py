"""Whether an update was sound and whether to stop, agreed on by all processes without stopping the host; and what the
log says of the updates since its last line."""

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from crossmae.run.memory import peak_memory
from crossmae.train.runtime.distributed import World


@dataclass(frozen=True)
class UpdateVerdict:
    """What all processes know about one update, alike on each of them."""

    step: int
    loss: float
    """Mean over all samples of the update."""
    grad_norm: float
    stop: bool
    """Whether any process was asked to stop."""
    bad_ranks: tuple[int, ...]
    """Processes with a non-finite loss."""
    bad_gradient: bool

    @property
    def sound(self) -> bool:
        """Whether the update was applied."""
        return not self.bad_ranks and not self.bad_gradient


class Health:
    """Reduces each update's loss, stop request and non-finite flags over the processes; the host reads them later.

    ``blocked`` is 1 on the device from the first unsound update on; a fused optimizer that gets it as ``found_inf``
    changes nothing from then on, so the weights stay those from before that update until the host has noticed.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.blocked = torch.zeros((), device=world.device)
        self._pending: deque[tuple[int, Tensor, torch.cuda.Event | None]] = deque()

    def submit(self, step: int, losses: Tensor, grad_norm: Tensor, stop: bool) -> None:
        """Reports update ``step`` before it is applied.

        Args:
            losses: (micro-batches,) of this process.
            grad_norm: scalar, after the processes' gradients were averaged.
            stop: whether this process was asked to stop.
        """
        size = self.world.size
        report = torch.zeros(3 + size, device=self.world.device)
        report[0] = losses.mean() / size
        report[1].fill_(float(stop))  # an assignment would have the host wait for the GPU
        report[2] = grad_norm / size
        report[3 + self.world.rank] = (~losses.isfinite()).any()
        self.world.sum_(report)
        unsound = report[3:].any() | ~report[2].isfinite()
        self.blocked = torch.maximum(self.blocked, unsound.float())
        self._pending.append((step, *self._to_host(report)))

    def _to_host(self, report: Tensor) -> tuple[Tensor, torch.cuda.Event | None]:
        if report.device.type != "cuda":
            return report, None
        copy = torch.empty_like(report, device="cpu", pin_memory=True).copy_(report, non_blocking=True)
        event = torch.cuda.Event()
        event.record()
        return copy, event

    def read(self, leave: int) -> list[UpdateVerdict]:
        """Verdicts that were not read yet, oldest first, but for the newest ``leave``, which may still be computed."""
        verdicts = []
        while len(self._pending) > leave:
            step, report, event = self._pending.popleft()
            if event is not None:
                event.synchronize()
            verdicts.append(_verdict(step, report))
        return verdicts


def _verdict(step: int, report: Tensor) -> UpdateVerdict:
    loss, stop, grad_norm, *flags = report.tolist()
    bad = tuple(rank for rank, flag in enumerate(flags) if flag)
    return UpdateVerdict(step, loss, grad_norm, stop > 0, bad, not torch.isfinite(report[2]).item())


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
    _elapsed: float = 0.0
    """Training time since the last line, up to ``_since``."""

    def add(self, verdict: UpdateVerdict) -> None:
        """Takes in one update."""
        self._losses.append(verdict.loss)
        self._grad_norm = verdict.grad_norm
        self.updates += 1

    def pause(self) -> None:
        """Stops the clock for something that is not training; ``line`` and ``resume`` start it again."""
        now = time.perf_counter()
        self.seconds += now - self._since
        self._elapsed += now - self._since
        self._since = now

    def resume(self) -> None:
        """Starts the clock again."""
        self._since = time.perf_counter()

    @property
    def images_per_second(self) -> float | None:
        """Since this start."""
        return self.updates * self.batch / self.seconds if self.updates and self.seconds else None

    def line(self, lr: float) -> dict[str, float]:
        """Loss (mean since the last line), learning rate, gradient norm, speed, waiting share, greatest memory."""
        self.pause()
        elapsed = max(self._elapsed, 1e-9)
        values = {
            "loss": sum(self._losses) / max(len(self._losses), 1),
            "lr": lr,
            "grad_norm": self._grad_norm,
            "images_per_second": len(self._losses) * self.batch / elapsed,
            "waiting": self.waited / elapsed,
            "memory": float(peak_memory(self.device.type == "cuda")),
        }
        self._losses, self.waited, self._elapsed = [], 0.0, 0.0
        return values


def describe(step: int, total: int, values: Mapping[str, float]) -> str:
    """One log line."""
    return (
        f"update {step}/{total}  loss {values['loss']:.4f}  lr {values['lr']:.3g}  "
        f"grad norm {values['grad_norm']:.3g}  {values['images_per_second']:.0f} images/s  "
        f"waiting {values['waiting']:.0%}  {values['memory'] / 2**30:.2f} GiB"
    )
