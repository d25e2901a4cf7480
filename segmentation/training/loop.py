"""Iterations of several micro-batches.

mmengine's own gradient accumulation counts micro-batches as iterations, so that schedule, intervals and length of a
published config would all have to be multiplied. Here an iteration stays one update.
"""

from collections.abc import Iterator
from typing import Any

import torch
from mmengine.registry import LOOPS
from mmengine.runner import IterBasedTrainLoop

Batch = dict[str, list[Any]]


@LOOPS.register_module()
class MicroBatchTrainLoop(IterBasedTrainLoop):
    """Splits every batch of the loader into ``micro_batches`` equal parts and accumulates their gradients.

    The optimizer wrapper must have ``accumulative_counts=micro_batches``. Batch norm sees one part at a time.
    """

    def __init__(self, *args: Any, micro_batches: int = 1, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.micro_batches = micro_batches

    def run(self) -> None:
        """The whole training."""
        # The runner counted iterations; updates are due after every ``micro_batches`` steps, without an end (-1).
        self.runner.optim_wrapper.initialize_count_status(self.runner.model, 0, -1)
        super().run()

    def run_iter(self, data_batch: Batch) -> None:
        """One update; the reported losses are means over the parts."""
        self.runner.call_hook("before_train_iter", batch_idx=self._iter, data_batch=data_batch)
        outputs = [self._step(part) for part in _split(data_batch, self.micro_batches)]
        means = {name: torch.stack([output[name].detach() for output in outputs]).mean() for name in outputs[0]}
        self.runner.call_hook("after_train_iter", batch_idx=self._iter, data_batch=data_batch, outputs=means)
        self._iter += 1

    def _step(self, part: Batch) -> dict[str, torch.Tensor]:
        outputs: dict[str, torch.Tensor] = self.runner.model.train_step(part, self.runner.optim_wrapper)
        return outputs


def _split(batch: Batch, parts: int) -> Iterator[Batch]:
    size = len(batch["inputs"]) // parts
    for start in range(0, parts * size, size):
        yield {name: values[start : start + size] for name, values in batch.items()}
