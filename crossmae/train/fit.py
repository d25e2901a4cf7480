"""``fit``: the one training loop, for pretraining and for classification."""

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from crossmae.run.progress import Report
from crossmae.run.stop import StopGuard, leaving_at_once
from crossmae.train.config import FitExecution, TrainPlan
from crossmae.train.runtime.distributed import join_world, share_lock
from crossmae.train.runtime.precision import matmul_precision
from crossmae.train.trainer import Trainer
from crossmae.train.workload import Workload


@dataclass(frozen=True)
class Fitted:
    """What a finished training leaves."""

    model: nn.Module
    """With its final weights, unwrapped, on its device."""
    step: int
    """Updates made."""
    metrics: dict[str, float]
    """The evaluation at the end of the run."""
    last: dict[str, float]
    """The values of the last log line: ``loss``, ``lr``, ``grad_norm``, ..."""
    history: tuple[dict[str, float], ...]
    """Every evaluation of the run, earlier starts included, each with its ``step`` and ``epoch``."""
    images_per_second: float | None
    """Over all processes, since this start and without evaluations; None if nothing was left to train."""
    is_main: bool
    """Whether this process is the one that writes files."""


def fit(
    workload: Workload, plan: TrainPlan, folder: Path, progress: Report, execution: FitExecution | None = None
) -> Fitted:
    """Trains ``workload`` after ``plan``, in as many processes as torchrun started (one without it).

    Resumes from ``folder/state/`` if there is something to resume from, and says so in ``folder/log.txt``. To be called
    in the main thread.

    Args:
        workload: model, data, loss, optimizer and evaluation.
        plan: the values that decide what is learned.
        folder: the run's folder; the caller holds its lock (``hold_folder``).
        progress: called on the main process every ``execution.log_every`` updates with ``loss``, ``lr``, ``grad_norm``,
            ``images_per_second``, ``waiting`` (share of time spent waiting for data), ``memory`` (bytes), and after an
            evaluation with its metrics.
        execution: how the run is carried out.

    Raises:
        Stopped: a signal came; the state is saved, and the same call resumes from it.
        UserError: a changed recipe in the same folder, a full disk, a non-finite loss or gradient (weights, step and
            the paths of the samples are kept in ``folder/nonfinite/``), no usable state; one line each.
    """
    execution = execution or FitExecution()
    with join_world(execution.device) as world, share_lock(world, folder), matmul_precision(execution.matmul_precision):
        with StopGuard() as guard:
            trainer = Trainer(workload, plan, execution, folder, world, guard)
            trainer.restore()
            trainer.run(progress)
        with leaving_at_once():
            return _fitted(trainer, trainer.evaluate(progress))


def _fitted(trainer: Trainer, metrics: dict[str, float]) -> Fitted:
    return Fitted(
        model=trainer.model,
        step=trainer.step,
        metrics=metrics,
        last=trainer.last,
        history=tuple(trainer.history),
        images_per_second=trainer.meter.images_per_second,
        is_main=trainer.world.is_main,
    )
