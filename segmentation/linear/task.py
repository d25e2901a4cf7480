"""The tasks of linear segmentation, such as ``ade20k_linear@dinov2`` and ``ade20k_linear@raw``."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from crossmae.data.images import FileDigest, digest_of_bytes
from crossmae.recipe import Recipe
from segmentation.data.reader import SegmentationSet
from segmentation.data.sets import SETS
from segmentation.linear.recipe import read_recipe
from segmentation.task import require_mmsegmentation
from transfer.task import Context, Problem, Task

if TYPE_CHECKING:
    from crossmae.backbone import Backbone
    from crossmae.data.demo.scenes import SceneSource


class LinearSegmentationTask(Task):
    """A linear probe with mmsegmentation on the data set of ``options: {data: ...}``; metrics as those of UperNet."""

    @property
    def data(self) -> SegmentationSet:
        """The task's data set."""
        return SETS[self.spec.options["data"]]

    def check(self, data_root: Path) -> Iterable[Problem]:
        """Finds missing or unreadable files, annotations that are not the data set's, other counts than its own."""
        return self.data.check(data_root)

    def describe(self, data_root: Path) -> Iterable[str]:
        """How the numbers of images differ from the published ones."""
        return self.data.departures(data_root)

    def fingerprint(self, data_root: Path, digest: FileDigest = digest_of_bytes) -> str:
        """The classes, and names and sizes of images and annotations."""
        return self.data.fingerprint(data_root)

    def demo(self, data_root: Path, scenes: "SceneSource") -> None:
        """Writes scenes with background and four garments."""
        self.data.demo(data_root, scenes)

    def check_recipe(self, recipe: Recipe) -> None:
        """Reads every value of ``recipe`` into its type.

        Raises:
            UserError: an unknown, missing or wrong value, or values that contradict each other.
        """
        read_recipe(recipe)

    def run(self, backbone: "Backbone | None", recipe: Recipe, context: Context) -> dict[str, float]:
        """Trains the head on the frozen backbone and returns its metrics in percent.

        Raises:
            UserError: mmsegmentation is not installed, the data is unusable, or the backbone lacks the features.
        """
        backbone, data_root = self.given(backbone, context)
        require_mmsegmentation(self.spec.name)
        from segmentation.linear.run import train

        for text in self.data.departures(data_root):
            context.deviation(text)
        return train(backbone, recipe, self.data, context)

    def evaluate(self, weights: Path, recipe: Recipe, context: Context) -> dict[str, float]:
        """Evaluates the finished probe in ``weights``.

        Raises:
            UserError: mmsegmentation is not installed, or weights or data are unusable.
        """
        require_mmsegmentation(self.spec.name)
        from segmentation.linear.run import evaluate

        return evaluate(weights, recipe, self.data, context)
