"""Parts of mmengine's runner that this project replaces: the training loop, bf16, the log's memory.

mmengine's own gradient accumulation counts micro-batches as iterations, so that schedule, intervals and length of a
published config would all have to be multiplied. Here an iteration stays one update.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.optim import OptimWrapper
from mmengine.registry import LOG_PROCESSORS, LOOPS, OPTIM_WRAPPERS
from mmengine.runner import IterBasedTrainLoop, LogProcessor, Runner
from torch import nn

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
        """Trains to the end."""
        # The runner counted iterations; updates are due after every ``micro_batches`` steps, without an end (-1).
        self.runner.optim_wrapper.initialize_count_status(self.runner.model, 0, -1)
        super().run()

    def run_iter(self, data_batch: Batch) -> None:
        """Makes one update; the reported losses are means over the parts."""
        self.runner.call_hook("before_train_iter", batch_idx=self._iter, data_batch=data_batch)
        outputs = [self._step(part) for part in _split(data_batch, self.micro_batches)]
        means = {name: torch.stack([output[name].detach() for output in outputs]).mean() for name in outputs[0]}
        self.runner.call_hook("after_train_iter", batch_idx=self._iter, data_batch=data_batch, outputs=means)
        self._iter += 1

    def _step(self, part: Batch) -> dict[str, torch.Tensor]:
        outputs: dict[str, torch.Tensor] = self.runner.model.train_step(part, self.runner.optim_wrapper)
        return outputs


@OPTIM_WRAPPERS.register_module()
class BFloat16OptimWrapper(OptimWrapper):
    """Runs the forward pass under bf16 autocast, without a loss scaler.

    mmengine's AmpOptimWrapper brings fp16's loss scaler along and refuses to work without an accelerator.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Opens autocast around the forward pass; gradients are synchronized as in the base class."""
        device = next(model.parameters()).device.type
        with super().optim_context(model), torch.autocast(device, torch.bfloat16):
            yield


@LOG_PROCESSORS.register_module()
class PeakLogProcessor(LogProcessor):
    """Reads the GPU's peak memory without resetting it, so that the record holds the peak of the whole run.

    mmengine resets the counter at every line of its log.
    """

    def _get_max_memory(self, runner: Runner) -> int:
        return torch.cuda.max_memory_allocated() // 2**20


def _split(batch: Batch, parts: int) -> Iterator[Batch]:
    size = len(batch["inputs"]) // parts
    for start in range(0, parts * size, size):
        yield {name: values[start : start + size] for name, values in batch.items()}
