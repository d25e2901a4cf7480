"""The contract of an adapter: a Task, what it is given (Context), and what it finds wrong with data (Problem)."""

import csv
import io
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

from crossmae.data.images import (
    FileDigest,
    described_files,
    digest_of_bytes,
    files_of_any_kind,
    fingerprint_of,
)
from crossmae.errors import UserError
from crossmae.files import write_atomically, write_text
from crossmae.parsing import Strict
from crossmae.recipe import Recipe
from crossmae.run.progress import ProgressFile

if TYPE_CHECKING:
    import pandas as pd

    from crossmae.backbone import Backbone
    from crossmae.data.demo.scenes import SceneSource


_NAME = re.compile(r"(?!\.)[A-Za-z0-9._+@-]{1,100}")


def check_name(kind: str, name: str) -> str:
    """``name``, if it can be the name of a folder: tasks, backbones, suites and data sets are called by one pattern.

    Raises:
        UserError: it cannot.
    """
    if _NAME.fullmatch(name):
        return name
    raise UserError(
        f"{kind} {name[:100]!r} has a name that cannot be a folder's",
        "use letters, digits and ._+@- (at most 100 characters, and no dot in front)",
    )


OWN_DATA = "data"
"""Where in a run's folder a task lays out the user's own data for its engine; removed at every start of the run."""


@dataclass(frozen=True)
class FinishedModel(Strict):
    """What a task evaluates instead of training: the file ``model`` that a run of ``task`` leaves in its folder."""

    task: str
    model: str


@dataclass(frozen=True)
class TaskSpec(Strict):
    """One ``transfer/tasks/NAME.yaml``: what the task is called, who runs it, on which data, and what it measures."""

    name: str
    version: int
    title: str
    adapter: str
    """``package.module:Class``, imported only in the run's own process."""
    dataset: str | None
    """Key of the data roots; None for a task without data."""
    metrics: tuple[str, ...]
    """Names of the metrics that the task always returns; the first is the one that is watched."""
    recipes: str
    """Package whose ``recipes/`` folder holds ``<task>_<recipe>.yaml``."""
    engine: tuple[str, ...] = ()
    """Modules that must be importable in addition to this project's own dependencies."""
    optional_metrics: tuple[str, ...] = ()
    """Names, or patterns such as ``to_visible_block*``, of metrics that the task returns where they are defined."""
    consumes_backbone: bool = True
    """Whether ``run`` is given a backbone."""
    evaluates: FinishedModel | None = None
    """Whose finished models it evaluates; it has their recipes, and never trains."""
    options: Mapping[str, str] = field(default_factory=dict)
    """What one class needs to serve several tasks (the reader of a data set, with or without relative positions)."""
    extends: str | None = None
    """The built-in task that this one is, on other data; their recipes are the same."""

    def check_metrics(self, returned: Iterable[str], evaluated: bool = False) -> None:
        """Compares the names of what a run returned with those of the task's file.

        Args:
            evaluated: whether ``Task.evaluate`` returned them, which may leave out what only a training knows.

        Raises:
            UserError: a metric is returned and not named, or named and not returned.
        """
        names = list(returned)
        named = (*self.metrics, *self.optional_metrics)
        unnamed = [name for name in names if not any(fnmatch(name, pattern) for pattern in named)]
        missing = [] if evaluated and names else [name for name in self.metrics if name not in names]
        faults = [f"returned {', '.join(unnamed)}, which its file does not name"] if unnamed else []
        faults += [f"did not return {', '.join(missing)}, which its file names"] if missing else []
        if faults:
            raise UserError(
                f"task {self.name} {' and '.join(faults)}", "correct `metrics` of the task's YAML file or its class"
            )


@dataclass(frozen=True)
class Problem:
    """Something that would make a run fail later, and its remedy; each one line."""

    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.what}; {self.remedy}"


@dataclass
class Context:
    """What a run is given, and where it leaves its results.

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
        write_atomically(path, lambda part: table.to_csv(part, index=False))
        self.artifact("per_sample", path)

    def classes(self, names: Sequence[str], images: Sequence[int], values: Mapping[str, Sequence[float]]) -> None:
        """Keeps results by class in ``classes.csv``, for the report.

        Args:
            images: how many validation images have an object, pixel or label of each class.
            values: percentages by the name of what was measured; a class without one (nan) is left out.
        """
        path, rows = self.folder / "classes.csv", zip(names, images, *values.values(), strict=True)
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["class", "images", *values])
        for name, count, *numbers in rows:
            if not any(map(math.isnan, numbers)):
                writer.writerow([name, count, *(round(number, 2) for number in numbers)])
        write_text(text.getvalue(), path)
        self.artifact("classes", path)


class Task(ABC):
    """One kind of task. An instance serves one TaskSpec; construction does no work."""

    def __init__(self, spec: TaskSpec) -> None:
        self.spec = spec

    @abstractmethod
    def check(self, data_root: Path) -> Iterable[Problem]:
        """Everything wrong with the data at ``data_root`` that would make a run fail or mislead, all at once."""

    def describe(self, data_root: Path) -> Iterable[str]:
        """Lines that say what was recognised at ``data_root``, for data that is not simply what was published."""
        del data_root
        return ()

    def fingerprint(self, data_root: Path, digest: FileDigest = digest_of_bytes) -> str:
        """What tells the data at ``data_root`` from any other, and is the same on every machine for the same data.

        A part of a run's identity, so it must not take long: it lists (names, sizes, labels) and opens no image.
        Default: names and sizes of all files.

        Args:
            digest: hex digits over a file's bytes, for lists and annotations; remembers large files.

        Raises:
            UserError: the data cannot be listed; ``check`` says why.
        """
        del digest
        return fingerprint_of(described_files(data_root, files_of_any_kind(data_root)))

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

    def given(self, backbone: "Backbone | None", context: Context) -> "tuple[Backbone, Path]":
        """The backbone and the data root, for ``run`` of a task that consumes both.

        Raises:
            UserError: one of them was not given.
        """
        if backbone is None:
            raise UserError(f"{self.spec.name} needs a backbone", "name one with --backbone")
        if context.data_root is None:
            raise UserError(f"{self.spec.name} needs its data set {self.spec.dataset}", "say where it lies with --data")
        return backbone, context.data_root

    def evaluate(self, weights: Path, recipe: Recipe, context: Context) -> dict[str, float]:
        """Evaluates the finished model in ``weights``, ours or a released one; the metrics of ``run``, or some of them.

        Raises:
            UserError: the weights are unusable, or this task has no finished models.
        """
        raise UserError(f"task {self.spec.name} leaves no model that could be evaluated")
