"""Whether an update was sound and whether to stop, agreed on by all processes without stopping the host."""

from collections import deque
from dataclasses import dataclass

import torch
from torch import Tensor

from crossmae.train.runtime.distributed import World


@dataclass(frozen=True)
class Verdict:
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

    def read(self, leave: int) -> list[Verdict]:
        """Verdicts that were not read yet, oldest first, but for the newest ``leave``, which may still be computed."""
        verdicts = []
        while len(self._pending) > leave:
            step, report, event = self._pending.popleft()
            if event is not None:
                event.synchronize()
            verdicts.append(_verdict(step, report))
        return verdicts


def _verdict(step: int, report: Tensor) -> Verdict:
    loss, stop, grad_norm, *flags = report.tolist()
    bad = tuple(rank for rank, flag in enumerate(flags) if flag)
    return Verdict(step, loss, grad_norm, stop > 0, bad, not torch.isfinite(report[2]).item())
