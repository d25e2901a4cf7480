"""One update: forward, backward, clipping, optimizer. What the training loop repeats and what the benchmark times."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from crossmae.data.keyed import seed_libraries
from crossmae.train.config import FitExecution, Split, TrainPlan, compiles
from crossmae.train.monitor.health import Health
from crossmae.train.runtime.distributed import World
from crossmae.train.runtime.precision import settled
from crossmae.train.workload import Learner


class Updates:
    """Makes updates of a learner's model, alike on all processes; holds model, optimizer and ``health``;
    ``execution`` with its precision, and whether to compile, settled for the device."""

    def __init__(self, learner: Learner, plan: TrainPlan, execution: FitExecution, world: World, split: Split) -> None:
        self.learner, self.plan, self.world, self.split = learner, plan, world, split
        compiled = compiles(execution.compile, world.device.type)
        precision = settled(execution.precision, world.device)
        self.execution = replace(execution, precision=precision, compile=compiled)
        seed_libraries(plan.seed)
        self.model = learner.model().to(world.device)
        self.optimizer = learner.optimizer(self.model, plan.lr)
        self.health = Health(world)
        self._net = self.model

    def prepare(self) -> None:
        """To be called once before the first update, with the weights that it starts from in place."""
        self._net = self.world.wrap(self.model)
        self._net.train()
        if self.execution.compile:
            self._net.compile(mode=self._compile_mode(), dynamic=False)

    def make(self, step: int, lr: float, batches: Iterator[Any], stop: bool) -> Tensor:
        """Makes update ``step``, unless it turns out not to be finite (see ``Health``).

        Args:
            lr: learning rate, multiplied by a parameter group's ``lr_scale``.
            batches: gives this process's micro-batches, on the device.
            stop: whether this process was asked to stop.

        Returns:
            (micro-batches,) losses of this process.
        """
        losses = self._gradients(step, batches)
        self.health.submit(step, losses, self._clip(), stop)
        for group in self.optimizer.param_groups:
            group["lr"] = lr * group.get("lr_scale", 1.0)
        self._apply()
        self.optimizer.zero_grad(set_to_none=True)
        return losses

    def _gradients(self, step: int, batches: Iterator[Any]) -> Tensor:
        count = self.split.accumulation
        losses = []
        for index in range(count):
            batch = next(batches)
            seed_libraries(self.plan.seed, step, index * self.world.size + self.world.rank)
            with self._unsynced(index < count - 1):
                with self._autocast():
                    loss = self.learner.loss(self._net, batch)
                (loss / count).backward()
            losses.append(loss.detach().float())
        return torch.stack(losses)

    def _unsynced(self, more: bool) -> AbstractContextManager[Any]:
        return self._net.no_sync() if more and isinstance(self._net, DistributedDataParallel) else nullcontext()

    def _autocast(self) -> AbstractContextManager[Any]:
        enabled = self.execution.precision == "bf16"
        return torch.autocast(self.world.device.type, dtype=torch.bfloat16, enabled=enabled)

    def _compile_mode(self) -> str:
        # CUDA graphs save the host's time per kernel, which counts where kernels are short. Their gradients lie in
        # memory that the next replay overwrites: they cannot be accumulated, and DistributedDataParallel keeps them.
        alone = self.world.size == 1 and self.split.accumulation == 1
        graphs = self.execution.cuda_graphs and alone and self.world.device.type == "cuda"
        return "reduce-overhead" if graphs else "default"

    def _clip(self) -> Tensor:
        parameters = [p for p in self.model.parameters() if p.grad is not None]
        norm = torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
        if self.plan.clip_grad is not None:
            torch.nn.utils.clip_grads_with_norm_(parameters, self.plan.clip_grad, norm)
        return norm

    def _apply(self) -> None:
        if getattr(self.optimizer, "_step_supports_amp_scaling", False):
            self.optimizer.found_inf = self.health.blocked  # type: ignore[attr-defined]
            self.optimizer.step()
        elif not self.health.blocked.item():
            # Optimizers without a fused kernel (LARS) have to ask the host.
            self.optimizer.step()
