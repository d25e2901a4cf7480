"""The Task of all classification benchmarks."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from crossmae.data.demo.scenes import SceneSource
from crossmae.data.images import FileDigest, digest_of_bytes
from crossmae.errors import UserError
from crossmae.recipe import Recipe
from transfer.classification.recipe import read_recipe
from transfer.datasets.demo import write_demo
from transfer.datasets.labelled import LabelledImages
from transfer.datasets.layouts import reader_of
from transfer.datasets.reader import Reader
from transfer.task import Context, Problem, Task

if TYPE_CHECKING:
    from crossmae.backbone import Backbone
    from transfer.classification.accuracy import Outcomes


SEVERAL_REMEDY = "extend multilabel_finetune or multilabel_linear for several"

CLASSIFIER = "classifier.safetensors"
"""The finished model in the run folder."""


class ClassificationTask(Task):
    """Fine-tuning or linear probing, as the recipe's ``method`` says, on the data set of ``options: {reader: ...}``."""

    @property
    def reader(self) -> Reader:
        """The reader of the task's data set."""
        return reader_of(self.spec.options)

    def check(self, data_root: Path) -> Iterable[Problem]:
        """Everything wrong with the layout, the lists and the files at ``data_root``."""
        if self.spec.options.get("labels") == "several" and "top1" in self.spec.metrics:
            yield Problem(f"{self.spec.name} is defined for one label an image alone", SEVERAL_REMEDY)
        yield from self.reader.check(data_root)

    def describe(self, data_root: Path) -> Iterable[str]:
        """What was recognised of data that is not simply the published set."""
        return self.reader.describe(data_root)

    def fingerprint(self, data_root: Path, digest: FileDigest = digest_of_bytes) -> str:
        """Classes, and names, sizes and labels of all images."""
        return self.reader.fingerprint(data_root)

    def demo(self, data_root: Path, scenes: SceneSource) -> None:
        """Writes a small data set in the real one's format."""
        write_demo(self.spec.options["reader"], data_root, scenes)

    def check_recipe(self, recipe: Recipe) -> None:
        """Reads every value of ``recipe`` into its type.

        Raises:
            UserError: an unknown, missing or wrong value, named in one line.
        """
        read_recipe(recipe)

    def run(self, backbone: "Backbone | None", recipe: Recipe, context: Context) -> dict[str, float]:
        """Trains and returns ``top1`` and ``top5`` of the last epoch, and ``top1_best`` of the best evaluated one.

        Where images have several labels, ``mean_ap`` and ``mean_ap_best``.
        """
        from crossmae.train.fit import fit
        from crossmae.train.runtime.precision import precision_deviation
        from transfer.classification.accuracy import MEAN_AP
        from transfer.classification.job import make_job, save

        backbone, data_root = self.given(backbone, context)
        context.deviation(precision_deviation(context.precision))
        train, val = self.reader.read_both(data_root)
        job = make_job(backbone, recipe, train, val, context)
        fitted = fit(job.workload, job.plan, context.folder, context.progress, job.execution)
        context.throughput = fitted.images_per_second
        self.reader.note(context, train, val)
        watched = MEAN_AP if train.several else "top1"
        metrics = {**fitted.metrics, f"{watched}_best": max(evaluated[watched] for evaluated in fitted.history)}
        if fitted.is_main and job.workload.outcomes is not None:
            metrics |= self._by_class(val, job.workload.outcomes, context)
            save(fitted.model, backbone.about, context.folder / CLASSIFIER)
            context.artifact("classifier", context.folder / CLASSIFIER)
        return metrics

    def _by_class(self, val: LabelledImages, outcomes: "Outcomes", context: Context) -> dict[str, float]:
        """Leaves results by image and, of data whose classes may be uneven, by class, whose mean is a metric."""
        from transfer.classification.accuracy import MACRO, sample_table, score_classes

        if val.several:
            score_classes(val, outcomes, context)
            return {}
        context.per_sample(sample_table(val, outcomes))
        return {MACRO: score_classes(val, outcomes, context)} if MACRO in self.spec.metrics else {}

    def evaluate(self, weights: Path, recipe: Recipe, context: Context) -> dict[str, float]:
        """What ``run`` measures, of a finished classifier: a run's ``classifier.safetensors`` or a released ``.pth``.

        Raises:
            UserError: weights or data are unusable.
        """
        from transfer.classification.job import evaluate

        if context.data_root is None:
            raise UserError(f"task {self.spec.name} needs its data set {self.spec.dataset}")
        val = self.reader.read(context.data_root, "val")
        metrics, outcomes = evaluate(weights, recipe, val, context)
        return metrics if outcomes is None else {**metrics, **self._by_class(val, outcomes, context)}
