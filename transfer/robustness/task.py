"""The Task of all sets that finished classifiers are scored on."""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from crossmae.data.demo.scenes import SceneSource
from crossmae.data.images import FileDigest, described, digest_of_bytes, fingerprint_of
from crossmae.errors import UserError
from crossmae.recipe import Recipe
from crossmae.run.rank import is_main
from crossmae.train.runtime.distributed import join_world
from transfer.classification.accuracy import Outcomes, predict, sample_table, top_k
from transfer.classification.images import EvaluationImages
from transfer.classification.job import ClassificationJob, open_finished
from transfer.classification.recipe import read_recipe
from transfer.classification.transforms import Transform, evaluation_transform
from transfer.datasets.reader import check_files
from transfer.robustness.classes import synsets
from transfer.robustness.corruptions import ALEXNET, mean_corruption_error
from transfer.robustness.sets import SETS, EvaluationSet
from transfer.task import Context, Problem, Task

if TYPE_CHECKING:
    from crossmae.backbone import Backbone


class RobustnessTask(Task):
    """Scores a finished classifier on the set of ``options: {set: ...}``; recipes are those that it was made by."""

    def check(self, data_root: Path) -> Iterable[Problem]:
        """A wrong layout, files that are missing or cannot be read; other counts are deviations of the runs."""
        try:
            chosen = self._read(data_root)
        except UserError as error:
            yield Problem(error.what, error.remedy or "mend the data set")
            return
        yield from check_files(chosen.images, str(data_root))

    def fingerprint(self, data_root: Path, digest: FileDigest = digest_of_bytes) -> str:
        """Names, sizes and labels of all images that are scored."""
        chosen = self._read(data_root)
        labels = chosen.images.labels.tolist() if chosen.right is None else chosen.right
        return fingerprint_of([*map(str, labels), *described(chosen.images.images, data_root)])

    def demo(self, data_root: Path, scenes: SceneSource) -> None:
        """Refuses: the classes are ImageNet-1K's."""
        raise UserError(
            f"task {self.spec.name} has no demo data", "name the real set by --data, in a suite of real data"
        )

    def check_recipe(self, recipe: Recipe) -> None:
        """Reads the values that the classifier was made by into their types.

        Raises:
            UserError: an unknown, missing or wrong value, named in one line.
        """
        read_recipe(recipe)

    def run(self, backbone: "Backbone | None", recipe: Recipe, context: Context) -> dict[str, float]:
        """Refuses: nothing is trained here."""
        raise UserError(f"task {self.spec.name} trains nothing", "give a finished classifier")

    def evaluate(self, weights: Path, recipe: Recipe, context: Context) -> dict[str, float]:
        """``top1``, in percent, among the classes that the set has; ``mce`` of ImageNet-C.

        ``top1_of_all``: among all classes of ImageNet-1K, where the set has not all of them.

        Raises:
            UserError: weights or data are unusable.
        """
        if context.data_root is None:
            raise UserError(f"task {self.spec.name} needs its data set {self.spec.dataset}")
        chosen = self._read(context.data_root)
        if fault := _other_count(chosen):
            context.deviation(fault)
        job, model = open_finished(weights, recipe, chosen.images, context)
        among, of_all = _outcomes(job, model, chosen)
        if not chosen.resized:
            return _corrupted(chosen, of_all)
        right = _is_right(chosen, among)
        if is_main():
            table = sample_table(chosen.images, among).assign(top1=right.astype(int))
            context.per_sample(table if chosen.right is None else table.drop(columns="top5"))
        metrics = {"top1": _percent(right)}
        if chosen.right is None:
            metrics["top5"] = top_k(among, 5)
        if chosen.candidates is not None:
            metrics["top1_of_all"] = _percent(_is_right(chosen, of_all))
        return metrics

    def _read(self, root: Path) -> EvaluationSet:
        name = self.spec.options.get("set")
        if name is None or name not in SETS:
            raise UserError(f"no set {name!r}", f"options: {{set: ...}} takes {', '.join(SETS)}")
        return SETS[name](root)


def _other_count(chosen: EvaluationSet) -> str:
    """Says that the set has not the published number of images; empty if it has."""
    if len(chosen.images) == chosen.published:
        return ""
    return f"{len(chosen.images):,} images instead of {chosen.published:,}"


def _outcomes(job: ClassificationJob, model: nn.Module, chosen: EvaluationSet) -> tuple[Outcomes, Outcomes]:
    """Outcomes among the set's classes, and among all."""
    with join_world(job.execution.device) as world:
        ranked = _Ranked(model, job.workload.reported_head, chosen.candidates).to(world.device).eval()
        images = EvaluationImages(chosen.images, _transform(job, chosen), world.rank, world.size, keep=False)
        batch = job.execution.evaluation_batch or job.execution.per_device_batch
        among, of_all = predict(ranked, images, 2, batch, job.execution.workers, job.execution.precision == "bf16")
    return among, of_all


def _transform(job: ClassificationJob, chosen: EvaluationSet) -> Transform:
    about, protocol = job.workload.backbone.about, job.workload.protocol
    crop = protocol.crop_pct if chosen.resized else 1.0
    transform = evaluation_transform(protocol.image_size, crop, about.mean, about.std, about.interpolation)
    return (lambda image: transform(_without_border(image, chosen.border))) if chosen.border else transform


def _without_border(image: Image.Image, pixels: int) -> Image.Image:
    return image.crop((pixels, pixels, image.width - pixels, image.height - pixels))


class _Ranked(nn.Module):
    """Scores (2, N, classes): minus infinity for those that are no candidates, and all as they are."""

    excluded: Tensor

    def __init__(self, model: nn.Module, head: int, candidates: tuple[int, ...] | None) -> None:
        super().__init__()
        self.model, self.head = model, head
        excluded = torch.zeros(len(synsets()), dtype=torch.bool)
        if candidates is not None:
            excluded.fill_(True)[list(candidates)] = False
        self.register_buffer("excluded", excluded)

    def forward(self, images: Tensor) -> Tensor:
        scores = self.model(images)
        scores = scores[self.head] if scores.ndim == 3 else scores
        return torch.stack([scores.masked_fill(self.excluded, -torch.inf), scores])


def _is_right(chosen: EvaluationSet, outcomes: Outcomes) -> NDArray[np.bool_]:
    predictions = outcomes["prediction"].numpy()
    if chosen.right is None:
        return predictions == chosen.images.labels
    return np.array([number in right for number, right in zip(predictions.tolist(), chosen.right, strict=True)])


def _percent(right: NDArray[np.bool_]) -> float:
    return 100 * float(right.mean())


def _corrupted(chosen: EvaluationSet, outcomes: Outcomes) -> dict[str, float]:
    """mCE, mean accuracy over the corruptions that it counts, and each corruption's error: means over severities."""
    wrong: dict[str, dict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
    for file, right in zip(chosen.images.files, _is_right(chosen, outcomes).tolist(), strict=True):
        corruption, severity = file.split("/")[-4:-2]
        wrong[corruption][severity].append(not right)
    errors = {
        name: 100 * float(np.mean([np.mean(of_severity) for of_severity in by_severity.values()]))
        for name, by_severity in wrong.items()
    }
    counted = [errors[name] for name in ALEXNET]
    named = {f"error_{name}": error for name, error in errors.items()}
    return {"mce": mean_corruption_error(errors), "top1": 100 - float(np.mean(counted)), **named}
