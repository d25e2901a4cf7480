"""The training loop itself, behind ``fit``."""

import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from crossmae.data.keyed import SampleKey
from crossmae.errors import UserError, one_line
from crossmae.run.progress import Report
from crossmae.run.rank import local_size
from crossmae.run.stop import StopGuard, Stopped
from crossmae.train.batches import (
    MicroBatches,
    SampleStream,
    bytes_in_flight,
    micro_batches,
    micro_keys,
    place_batches,
    require_shared_memory,
    to_device,
)
from crossmae.train.checkpoint.manager import CheckpointManager
from crossmae.train.config import FitExecution, TrainPlan, split_batch
from crossmae.train.evidence import Circumstances, keep_evidence
from crossmae.train.monitor.health import Meter, UpdateVerdict, describe
from crossmae.train.optim import lr_at
from crossmae.train.runtime.distributed import World
from crossmae.train.step import Updates
from crossmae.train.workload import Workload

log = logging.getLogger("crossmae")


class Trainer:
    """One start of a run: picks up the newest state, if any, and trains to the end or to a stop request."""

    def __init__(
        self, workload: Workload, plan: TrainPlan, execution: FitExecution, folder: Path, world: World, guard: StopGuard
    ) -> None:
        self.workload, self.plan = workload, plan
        self.world, self.guard = world, guard
        self.data = workload.dataset()
        self.samples = len(self.data)
        self.total = plan.total_steps(self.samples)
        self.split = split_batch(plan.global_batch, world.size, execution.per_device_batch)
        self.stream = SampleStream(self.samples, plan.global_batch, plan.seed)
        self.updates = Updates(workload, plan, execution, world, self.split)
        self.execution = self.updates.execution
        self.model = self.updates.model
        self.checkpoints = CheckpointManager(folder, world, execution.keep, execution.milestone_every)
        self.meter = Meter(plan.global_batch, world.device)
        self.history: list[dict[str, float]] = []
        self.last: dict[str, float] = {}
        self.step = 0
        self._losses: dict[int, Tensor] = {}

    def restore(self) -> None:
        """Restores the newest readable state of this run's folder."""
        identity = {**self.workload.identity, "plan": self.plan.to_dict(), "samples": self.samples}
        self.step = self.checkpoints.restore(identity, self.load)
        if self.step:
            log.info("resumed at step %d of %d", self.step, self.total)

    def load(self, state: Mapping[str, Any]) -> None:
        """Takes over what ``state`` returned."""
        self.model.load_state_dict(state["model"])
        self.updates.optimizer.load_state_dict(state["optimizer"])
        self.history, self.last = list(state["history"]), dict(state["last"])

    def state(self) -> dict[str, Any]:
        """Everything a later start needs.

        The schedule, the position in the epoch and every random number are functions of the plan's seed and ``step``.
        """
        return {
            "step": self.step,
            "model": self.model.state_dict(),
            "optimizer": self.updates.optimizer.state_dict(),
            "history": self.history,
            "last": self.last,
        }

    def run(self, report: Report) -> None:
        """Trains to the end; ``report(step, total, metrics)`` is called on the main process."""
        if self.world.is_main:
            log.info("%s, %s", self.split, self.execution)
        keys = MicroBatches(self.stream, self.split, self.world.rank, self.step, self.total)
        in_flight = bytes_in_flight(self.workload, self.data, keys, self.execution.workers)
        # Before ``prepare``, where all processes meet: until then none has begun to load.
        require_shared_memory(in_flight * local_size())
        self.updates.prepare()
        pin = self.world.device.type == "cuda"
        batches = self._placed(micro_batches(self.workload, self.data, keys, self.execution.workers, pin))
        self.meter.resume()
        while self.step < self.total:
            self._update(batches)
            self.step += 1
            last = self.step == self.total
            log_due = last or self.step % self.execution.log_every == 0
            save_due = last or self.step % self.execution.checkpoint_every == 0
            # The newest verdict is read one update later, so that the host never waits, but for these occasions.
            stop = self._read_verdicts(leave=0 if log_due or save_due else 1)
            if log_due:
                self._log(report)
            if not last and self._evaluation_due():
                self._evaluate(report)
            if save_due:
                self._save()
            if stop:
                self._leave()

    def evaluate(self, report: Report) -> dict[str, float]:
        """The evaluation at the end of the run."""
        if self.history and self.history[-1]["step"] == self.step:
            self.history.pop()
        return self._evaluate(report)

    def _placed(self, batches: Iterator[Any]) -> Iterator[Any]:
        before = time.perf_counter()
        for placed in place_batches(batches, self.world.device, self.workload.prepare):
            self.meter.waited += time.perf_counter() - before
            yield placed
            before = time.perf_counter()

    def _update(self, batches: Iterator[Any]) -> None:
        losses = self.updates.make(self.step, self._lr(self.step), batches, self.guard.requested)
        self._losses = {step: values for step, values in self._losses.items() if step >= self.step - 1}
        self._losses[self.step] = losses

    def _read_verdicts(self, leave: int) -> bool:
        verdicts = self.updates.health.read(leave)
        for verdict in verdicts:
            if not verdict.sound:
                self._fail(verdict)
            self.meter.add(verdict)
        return any(verdict.stop for verdict in verdicts)

    def _fail(self, verdict: UpdateVerdict) -> None:
        self.step = verdict.step
        suspects = self._suspects(verdict)
        keys = [key for micro_batch in suspects.values() for key in micro_batch]
        names = self.world.gather(self.workload.sample_names(self.data, keys))
        folder = self.checkpoints.save_evidence(verdict.step, self.state(), names)
        if suspects:
            self._keep(folder, suspects)
        where = f"of rank {', '.join(map(str, verdict.bad_ranks))}" if verdict.bad_ranks else "in the gradient alone"
        raise UserError(
            f"not finite in update {verdict.step} of {self.total} ({'loss ' if verdict.bad_ranks else ''}{where})",
            f"the weights from before it and its samples are in {folder}; of a pretraining, "
            f"`crossmae replay {self.checkpoints.run_folder}` names the first tensor that is not finite",
        )

    def _suspects(self, verdict: UpdateVerdict) -> dict[int, list[SampleKey]]:
        """This process's micro-batches that may have been the cause, by their number."""
        if verdict.bad_ranks and self.world.rank not in verdict.bad_ranks:
            return {}
        finite = self._losses[verdict.step].isfinite().tolist()
        keys = self.stream.keys(verdict.step)
        numbers = (index for index in range(self.split.accumulation) if not finite[index] or not verdict.bad_ranks)
        return {index: micro_keys(keys, self.split, self.world.rank, index) for index in numbers}

    def _keep(self, folder: Path, suspects: Mapping[int, list[SampleKey]]) -> None:
        """Keeps the micro-batches, made once more; without them, the evidence is still of use."""
        circumstances = Circumstances(
            step=self.step,
            seed=self.plan.seed,
            places=tuple(index * self.world.size + self.world.rank for index in suspects),
            accumulation=self.split.accumulation,
            identity=self.workload.identity,
            execution=asdict(self.execution),
        )
        try:
            batches = [self._batch(keys) for keys in suspects.values()]
            keep_evidence(folder, self.world.rank, circumstances, batches)
        except (UserError, OSError, TypeError) as error:
            log.warning("the samples of the update were not kept: %s", one_line(error, 200))

    def _batch(self, keys: list[SampleKey]) -> Any:
        at_once = getattr(self.data, "__getitems__", None)
        batch = self.workload.collate(at_once(keys) if at_once else [self.data[key] for key in keys])
        return self.workload.prepare(to_device(batch, self.world.device))

    def _lr(self, step: int) -> float:
        warmup = self.plan.total_warmup(self.samples)
        return lr_at(step, self.total, warmup, self.plan.lr, self.plan.min_lr)

    def _evaluation_due(self) -> bool:
        every = self.execution.evaluate_every_epochs
        if every is None:
            return False
        return self.stream.epochs(self.step) // every > self.stream.epochs(self.step - 1) // every

    def _evaluate(self, report: Report) -> dict[str, float]:
        self.meter.pause()
        self.model.eval()
        with torch.no_grad():
            metrics = self.workload.evaluate(self.model)
        self.model.train()
        epoch = self.step * self.plan.global_batch / self.samples
        self.history.append({**metrics, "step": self.step, "epoch": epoch})
        if metrics and self.world.is_main:
            log.info("update %d: %s", self.step, "  ".join(f"{name} {value:.4g}" for name, value in metrics.items()))
            report(self.step, self.total, metrics)
        self.meter.resume()
        return metrics

    def _log(self, report: Report) -> None:
        self.last = self.meter.line(self._lr(self.step - 1))
        if self.world.is_main:
            log.info(describe(self.step, self.total, self.last))
            report(self.step, self.total, self.last)

    def _save(self) -> None:
        self.meter.pause()
        self.checkpoints.save(self.step, self.state())
        self.meter.resume()

    def _leave(self) -> None:
        self._read_verdicts(leave=0)
        if self.checkpoints.saved != self.step:
            self._save()
        raise Stopped(f"stopped after update {self.step} of {self.total}; start the same command again to resume")
