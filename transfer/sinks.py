"""Loggers that take the learning curves of runs: TensorBoard, Weights & Biases, MLflow.

Only the one that is asked for is loaded.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from crossmae.errors import UserError

PROJECT = "crossmae"
"""The project of W&B and the experiment of MLflow, where their own variables name no other."""


@dataclass(frozen=True)
class LoggedRun:
    """A run as a logger knows it."""

    place: str
    """Its folder below the folder of runs."""
    title: str
    identity: str
    task: str
    backbone: str
    seed: int
    protocol: Mapping[str, Any]

    @property
    def settings(self) -> dict[str, Any]:
        """What loggers show as the configuration."""
        return {"task": self.task, "backbone": self.backbone, "seed": self.seed, **self.protocol}


@dataclass(frozen=True)
class Point:
    """One report of a run; ``time`` in seconds since the epoch."""

    step: int
    time: float
    metrics: Mapping[str, float]


class Sink(ABC):
    """A logger. What it writes lies in ``folder``, unless it is told by its own variables to use a server."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @abstractmethod
    def send(self, run: LoggedRun, points: Iterable[Point]) -> None:
        """Adds points to the curve of ``run``; when it returns they are kept."""

    @abstractmethod
    def close(self) -> None:
        """Ends what is open."""


class TensorBoard(Sink):
    """Event files, a folder for each run."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._writers: dict[str, Any] = {}

    def send(self, run: LoggedRun, points: Iterable[Point]) -> None:
        if run.place not in self._writers:
            self._writers[run.place] = import_module("tensorboard.summary").Writer(str(self.folder / run.place))
        writer = self._writers[run.place]
        for point in points:
            for name, value in point.metrics.items():
                writer.add_scalar(name, value, point.step, wall_time=point.time)
        writer.flush()

    def close(self) -> None:
        for writer in self._writers.values():
            writer.close()


class WandB(Sink):
    """A run of W&B for each run, known by its identity; offline unless ``WANDB_MODE`` says otherwise."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._runs: dict[str, Any] = {}

    def send(self, run: LoggedRun, points: Iterable[Point]) -> None:
        wandb = import_module("wandb")
        if run.place not in self._runs:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._runs[run.place] = wandb.init(
                project=os.environ.get("WANDB_PROJECT", PROJECT),
                id=run.identity,
                name=run.title,
                config=run.settings,
                dir=str(self.folder),
                mode=os.environ.get("WANDB_MODE", "offline"),
                resume="allow",
                reinit="create_new",
                settings=wandb.Settings(silent=True, disable_git=True, save_code=False),
            )
        for point in points:
            self._runs[run.place].log({**point.metrics, "time": point.time}, step=point.step)

    def close(self) -> None:
        for run in self._runs.values():
            run.finish()


class MLflow(Sink):
    """A run of MLflow for each run; in files unless ``MLFLOW_TRACKING_URI`` names a server."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        folder.mkdir(parents=True, exist_ok=True)
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # Without it MLflow wants a database of its own.
        where = os.environ.get("MLFLOW_TRACKING_URI", folder.resolve().as_uri())
        self._client = import_module("mlflow.tracking").MlflowClient(where)
        self._runs: dict[str, str] = {}

    def send(self, run: LoggedRun, points: Iterable[Point]) -> None:
        kind = import_module("mlflow.entities").Metric
        if run.place not in self._runs:
            self._runs[run.place] = self._run(run)
        metrics = [
            kind(name, value, int(point.time * 1000), point.step)
            for point in points
            for name, value in point.metrics.items()
        ]
        for start in range(0, len(metrics), 1000):  # MLflow takes no more in one call.
            self._client.log_batch(self._runs[run.place], metrics[start : start + 1000])

    def _run(self, run: LoggedRun) -> str:
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
        experiment = self._client.get_experiment_by_name(name)
        where = experiment.experiment_id if experiment else self._client.create_experiment(name)
        there = self._client.search_runs([where], f"tags.identity = '{run.identity}'", max_results=1)
        if there:
            return str(there[0].info.run_id)
        made = self._client.create_run(where, run_name=run.title, tags={"identity": run.identity})
        for key, value in run.settings.items():
            self._client.log_param(made.info.run_id, key, value)
        return str(made.info.run_id)

    def close(self) -> None:
        for identifier in self._runs.values():
            self._client.set_terminated(identifier)


SINKS: dict[str, type[Sink]] = {"tensorboard": TensorBoard, "wandb": WandB, "mlflow": MLflow}


def open_sink(name: str, folder: Path) -> Sink:
    """The logger ``name``, writing into ``folder``.

    Raises:
        UserError: there is no such logger, or it is not installed.
    """
    if name not in SINKS:
        raise UserError(f"no logger {name!r}", f"known loggers: {', '.join(SINKS)}")
    try:
        import_module(name)
    except ImportError as error:
        raise UserError(f"{name} is not installed here", f".venv/bin/pip install {name}") from error
    return SINKS[name](folder)
