"""What all frozen probes share as Tasks: features, once; a classifier of the training ones; its accuracy."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import torch
from torch import Tensor

from crossmae.backbone import Backbone
from crossmae.data.demo.scenes import SceneSource
from crossmae.data.images import FileDigest, digest_of_bytes
from crossmae.recipe import Recipe
from crossmae.train.runtime.distributed import join_world
from transfer.classification.accuracy import MACRO, Outcomes, label_rank, sample_table, score_classes, top_k
from transfer.classification.task import SEVERAL_REMEDY
from transfer.datasets.demo import write_demo
from transfer.datasets.labelled import LabelledImages
from transfer.datasets.layouts import reader_of
from transfer.datasets.reader import Reader
from transfer.frozen.cache import Views
from transfer.frozen.extract import Extractor
from transfer.frozen.recipe import FrozenExecution, FrozenProtocol, read_recipe
from transfer.frozen.selection import few
from transfer.task import Context, Problem, Task

P = TypeVar("P", bound=FrozenProtocol)
Classifier = Callable[[Views], Tensor]
"""Features of images to scores (N, classes); minus infinity for a class that is no candidate."""


@dataclass(frozen=True)
class TrainingSet:
    """All that a probe is fitted and chosen by; the validation images are not in it."""

    views: Views
    images: LabelledImages
    labels: Tensor
    """(N,) on the device."""

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.images.classes)

    @property
    def device(self) -> torch.device:
        """Where the probe computes."""
        return self.labels.device


class FrozenTask(Task, Generic[P]):
    """A probe over frozen features of the data set of ``options: {reader: ...}``."""

    protocol: type[P]

    @property
    def reader(self) -> Reader:
        """The reader of the task's data set."""
        return reader_of(self.spec.options)

    def check(self, data_root: Path) -> Iterable[Problem]:
        """Everything wrong with the layout, the lists and the files at ``data_root``."""
        if self.spec.options.get("labels") == "several":
            yield Problem(f"{self.spec.name} is defined for one label an image alone", SEVERAL_REMEDY)
            return
        yield from self.reader.check(data_root)

    def describe(self, data_root: Path) -> Iterable[str]:
        """What was recognised of data that is not simply the published set."""
        return self.reader.describe(data_root)

    def fingerprint(self, data_root: Path, digest: FileDigest = digest_of_bytes) -> str:
        """Names and sizes of all files of a published set; of other data, what its reader finds."""
        if self.reader.published is None:
            return self.reader.fingerprint(data_root)
        return super().fingerprint(data_root, digest)

    def demo(self, data_root: Path, scenes: SceneSource) -> None:
        """Writes a small data set in the real one's format."""
        write_demo(self.spec.options["reader"], data_root, scenes)

    def check_recipe(self, recipe: Recipe) -> None:
        """Reads every value of ``recipe`` into its type.

        Raises:
            UserError: an unknown, missing or wrong value, named in one line.
        """
        read_recipe(self.protocol, recipe)

    @abstractmethod
    def fit(self, train: TrainingSet, protocol: P, context: Context) -> tuple[Classifier, dict[str, float]]:
        """A classifier, and metrics that say how it was chosen."""

    def run(self, backbone: "Backbone | None", recipe: Recipe, context: Context) -> dict[str, float]:
        """``top1`` and ``top5`` in percent of the validation images, which are scored once."""
        backbone, data_root = self.given(backbone, context)
        values = read_recipe(self.protocol, recipe)
        protocol, execution = values.protocol, values.execution
        everything, val = self.reader.read_both(data_root)
        train = few(everything, protocol, context.seed)
        self.refuse(backbone, train, protocol)
        with join_world(execution.device) as world:
            extractor = Extractor(
                backbone, protocol, execution, context.precision, cache_folder(execution, context), world
            )
            report = _Report(context, extractor, len(train) + len(val), world.size)
            of_train, of_val = extractor.extract(train, report), extractor.extract(val, report)
        context.throughput = extractor.images_per_second
        if not world.is_main:
            return {}  # The rest takes one process, and only the first one's numbers are kept.
        self.reader.note(context, everything, val)
        labels = torch.from_numpy(train.labels).to(world.device)
        classify, chosen = self.fit(TrainingSet(of_train, train, labels), protocol, context)
        outcomes = outcomes_of(classify(of_val).cpu(), torch.from_numpy(val.labels))
        context.per_sample(sample_table(val, outcomes))
        metrics = {**chosen, "top1": top_k(outcomes, 1), "top5": top_k(outcomes, 5)}
        if MACRO in self.spec.metrics:
            metrics[MACRO] = score_classes(val, outcomes, context)
        return metrics

    def refuse(self, backbone: Backbone, train: LabelledImages, protocol: P) -> None:
        """Raises UserError, before anything is computed, if the probe does not suit the backbone or the data."""


def cache_folder(execution: FrozenExecution, context: Context) -> Path:
    """Where features are kept: as the recipe says, else next to the tasks' folders, for all runs of a benchmark."""
    return Path(execution.cache) if execution.cache else context.folder.absolute().parents[2] / "features"


def outcomes_of(scores: Tensor, labels: Tensor) -> Outcomes:
    """Predictions and ranks of the right classes from ``scores`` (N, classes)."""
    rank = label_rank(scores, labels)
    no_candidate = scores.gather(1, labels[:, None])[:, 0] == -torch.inf
    return {"prediction": scores.argmax(dim=1), "rank": rank.masked_fill(no_candidate, scores.shape[1])}


class _Report:
    """Adds up the images that this process has done, and reports for all."""

    def __init__(self, context: Context, extractor: Extractor, total: int, processes: int) -> None:
        self.context, self.extractor, self.total, self.processes = context, extractor, total, processes
        self.done = 0

    def __call__(self, images: int) -> None:
        self.done += images
        speed = self.extractor.images_per_second
        metrics: Mapping[str, float] = {} if speed is None else {"images_per_second": speed}
        self.context.progress(min(self.total, self.done * self.processes), self.total, metrics)
