"""detectron2's SimpleTrainer with micro-batches, bf16 and repeatable random numbers."""

from collections import defaultdict
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from detectron2.engine import SimpleTrainer
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from crossmae.data.keyed import seed_libraries


class MicroBatchTrainer(SimpleTrainer):
    """One iteration is ``micro_batches`` forward and backward passes and one update.

    Schedules, hooks and checkpoints count iterations, so a recipe is the same for any number of micro-batches.

    Args:
        micro_batches: consecutive batches of the loader that one iteration takes.
        bf16: autocast the forward pass (weights, optimizer and losses in fp32; no scaling is needed).
        clip_norm: greatest norm of the whole gradient; None for no clipping.
        seed: keys the random numbers of each micro-batch, so that a resumed run repeats them.
        options: as ``SimpleTrainer``.
    """

    def __init__(self, *, micro_batches: int, bf16: bool, clip_norm: float | None, seed: int, **options: Any) -> None:
        super().__init__(**options)
        self.micro_batches = micro_batches
        self.bf16 = bf16
        self.clip_norm = clip_norm
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
        if self.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.clip_norm)
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
