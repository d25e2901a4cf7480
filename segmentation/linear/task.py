"""The tasks of linear segmentation, such as ``ade20k_linear@dinov2``, ``ade20k_linear@raw`` and ``masks_linear``."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from crossmae.data.images import FileDigest, digest_of_bytes
from crossmae.errors import UserError
from crossmae.recipe import Recipe
from segmentation.data.own import fingerprint_of_own
from segmentation.data.own_check import check_own, describe_own
from segmentation.data.reader import SegmentationSet
from segmentation.data.sets import SETS, Ade20k
from segmentation.linear.recipe import read_recipe
from segmentation.task import lay_out, require_mmsegmentation
from transfer.task import Context, Problem, Task

if TYPE_CHECKING:
    from crossmae.backbone import Backbone
    from crossmae.data.demo.scenes import SceneSource


class LinearSegmentationTask(Task):
    """A linear probe with mmsegmentation on the data set of ``options: {data: ...}``; metrics as those of UperNet.

    With the option ``data: own``, ``masks_linear``: any images with masks.
    """

    @property
    def _own(self) -> bool:
        return self.spec.options["data"] == "own"

    @property
    def data(self) -> SegmentationSet:
        """The task's published data set."""
        return SETS[self.spec.options["data"]]

    def check(self, data_root: Path) -> Iterable[Problem]:
        """Finds missing or unreadable files, annotations that are not the data set's, other counts than its own."""
        return check_own(data_root, self.spec.options) if self._own else self.data.check(data_root)

    def describe(self, data_root: Path) -> Iterable[str]:
        """How the numbers of images differ from the published ones; what was recognised of data of one's own."""
        return describe_own(data_root, self.spec.options) if self._own else self.data.departures(data_root)

    def fingerprint(self, data_root: Path, digest: FileDigest = digest_of_bytes) -> str:
        """The classes, and names and sizes of images and annotations."""
        if self._own:
            return fingerprint_of_own(data_root, self.spec.options)
        return self.data.fingerprint(data_root)

    def demo(self, data_root: Path, scenes: "SceneSource") -> None:
        """Writes scenes with background and four garments."""
        (Ade20k() if self._own else self.data).demo(data_root, scenes)

    def check_recipe(self, recipe: Recipe) -> None:
        """Reads every value of ``recipe`` into its type.

        Raises:
            UserError: an unknown, missing or wrong value, or values that contradict each other.
        """
        if read_recipe(recipe).protocol.classes is None and not self._own:
            raise UserError(f"recipe {recipe.name}: classes is null", "give the number of classes")

    def run(self, backbone: "Backbone | None", recipe: Recipe, context: Context) -> dict[str, float]:
        """Trains the head on the frozen backbone and returns its metrics in percent.

        Raises:
            UserError: mmsegmentation is not installed, the data is unusable, or the backbone lacks the features.
        """
        backbone, data_root = self.given(backbone, context)
        require_mmsegmentation(self.spec.name)
        from segmentation.linear.run import train

        if self._own:
            return train(backbone, *self._own_data(recipe, context), context)
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

        fitted, data = self._own_data(recipe, context) if self._own else (recipe, self.data)
        return evaluate(weights, fitted, data, context)

    def _own_data(self, recipe: Recipe, context: Context) -> tuple[Recipe, SegmentationSet]:
        fitted, keep_zero = lay_out(recipe, read_recipe(recipe).protocol, self.spec, context)
        return fitted, Ade20k(keep_zero)
