"""The contract of an adapter: a Task, what it is told (Context), and what it may complain about (Problem)."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from crossmae.errors import UserError
from crossmae.recipe import Recipe
from crossmae.run.progress import ProgressFile

if TYPE_CHECKING:
    import pandas as pd

    from crossmae.backbone import Backbone
    from crossmae.data.demo.scenes import SceneSource


@dataclass(frozen=True)
class TaskSpec:
    """One ``transfer/tasks/NAME.yaml``: what the task is called, who runs it, on which data, and what it measures."""

    name: str
    version: int
    title: str
    adapter: str
    """``package.module:Class``, imported only in the run's own process."""
    dataset: str | None
    """Key of the data roots; None for a task without data."""
    metrics: tuple[str, ...]
    """Names of the metrics that the task returns; the first is the one that is watched."""
    recipes: str
    """Package whose ``recipes/`` folder holds ``<task>_<recipe>.yaml``."""
    engine: tuple[str, ...] = ()
    """Modules that must be importable beside this project's own dependencies."""
    length: tuple[str, ...] = ()
    """Recipe values that say how long training is, in updates or epochs; empty for a task that trains nothing."""
    consumes_backbone: bool = True
    """Whether ``run`` is given a backbone."""
    options: Mapping[str, str] = field(default_factory=dict)
    """What one class needs to serve several tasks (the reader of a data set, with or without relative positions)."""

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """From ``dataclasses.asdict`` and back from JSON."""
        lists = {name: tuple(content[name]) for name in ("metrics", "engine", "length")}
        return cls(**{**content, **lists})


@dataclass(frozen=True)
class Problem:
    """Something that would make a run fail later, and its remedy; each one line."""

    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.what}; {self.remedy}"


@dataclass
class Context:
    """What a run is told, and where it leaves what it finds.

    A run that is interrupted calls nothing: the engine saves its state in the folder and raises
    ``crossmae.run.stop.Stopped``; the next start resumes from what it finds there.
    """

    folder: Path
    data_root: Path | None
    seed: int
    devices: int = 1
    """Number of processes of this run (GPUs, or CPU processes)."""
    precision: str = "fp32"
    """``fp32`` or ``bf16``: that of the recipe's ``execution`` (fp32 if it names none), ``auto`` settled."""
    artifacts: dict[str, str] = field(default_factory=dict)
    deviations: list[str] = field(default_factory=list)
    throughput: float | None = None
    """Images per second of training, set by the task when it knows."""

    def progress(self, step: int, total: int, metrics: Mapping[str, float]) -> None:
        """Reports ``step`` of ``total`` training steps: heartbeat, live view and learning curve."""
        ProgressFile(self.folder).write(step, total, metrics)

    def artifact(self, name: str, path: Path) -> None:
        """Names a file inside the run folder (a drawn prediction, a reconstruction) for the report."""
        self.artifacts[name] = str(path.relative_to(self.folder))

    def deviation(self, text: str) -> None:
        """Notes a departure from the paper's protocol that only this machine or run brought about."""
        if text not in self.deviations:
            self.deviations.append(text)

    def per_sample(self, table: "pd.DataFrame") -> None:
        """Keeps per-sample results (one row per validation sample, with a ``sample`` column) for paired comparison."""
        path = self.folder / "per_sample.csv"
        table.to_csv(path, index=False)
        self.artifact("per_sample", path)


class Task(ABC):
    """One kind of task. An instance serves one TaskSpec; construction does no work."""

    def __init__(self, spec: TaskSpec) -> None:
        self.spec = spec

    @abstractmethod
    def check(self, data_root: Path) -> Iterable[Problem]:
        """Everything wrong with the data at ``data_root`` that would make a run fail or mislead, all at once."""

    @abstractmethod
    def demo(self, data_root: Path, scenes: "SceneSource") -> None:
        """Writes the demo data in the data set's real format; ``data_root`` does not exist before."""

    def check_recipe(self, recipe: Recipe) -> None:
        """Reads every value of ``recipe`` into its type, before anything is started. Default: takes any recipe.

        Raises:
            UserError: an unknown, missing or wrong value, named in one line.
        """
        del recipe

    @abstractmethod
    def run(self, backbone: "Backbone | None", recipe: Recipe, context: Context) -> dict[str, float]:
        """Trains and evaluates; returns the metrics that the TaskSpec names. ``None`` only where none is consumed."""

    def evaluate(self, weights: Path, recipe: Recipe, context: Context) -> dict[str, float]:
        """Evaluates the finished model in ``weights``, ours or a released one; the metrics that ``run`` returns.

        Raises:
            UserError: the weights are unusable, or this task has no finished models.
        """
        raise UserError(f"task {self.spec.name} leaves no model that could be evaluated")
