"""The task ``ade20k_upernet``."""

from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from crossmae.data.images import FileDigest, digest_of_bytes
from crossmae.errors import UserError
from crossmae.recipe import Recipe
from segmentation.data import check, demo
from segmentation.data.layout import fingerprint_of_ade20k
from segmentation.data.own import fingerprint_of_own, read_own, tidy
from segmentation.data.own_check import check_own, describe_own
from segmentation.recipe import SegmentationProtocol, fit_to_data, fit_to_depth, read_recipe
from transfer.task import OWN_DATA, Context, Problem, Task, TaskSpec

if TYPE_CHECKING:
    from crossmae.backbone import Backbone
    from crossmae.data.demo.scenes import SceneSource


def require_mmsegmentation(task: str) -> None:
    """Raises UserError if ``task`` cannot be run because mmsegmentation is not installed."""
    missing = [name for name in ("mmengine", "mmcv", "mmseg") if find_spec(name) is None]
    if missing:
        raise UserError(f"{task} needs mmsegmentation ({missing[0]} is not installed)", "run `make setup`")


def lay_out(recipe: Recipe, protocol: SegmentationProtocol, spec: TaskSpec, context: Context) -> tuple[Recipe, bool]:
    """Lays data of one's own out in the run's folder, where ``context`` then looks for it.

    Args:
        protocol: the values of ``recipe``.

    Returns:
        The recipe for the data, and whether label 0 is a class.
    """
    assert context.data_root is not None
    data = read_own(context.data_root, spec.options)
    context.data_root = tidy(data, context.folder / OWN_DATA)
    return fit_to_data(recipe, protocol, len(data.classes), len(data.splits["training"].names)), data.keep_zero


class UperNetTask(Task):
    """UperNet on ADE20K with mmsegmentation; ``miou``, ``aacc`` and ``macc`` at a single scale.

    With the option ``data: own``, ``masks_upernet``: any images with masks. A backbone that is no plain ViT is wrapped,
    which is noted; with the option ``wrapped: "yes"`` every backbone is, so that different ones are compared under one
    protocol.
    """

    @property
    def _own(self) -> bool:
        return self.spec.options.get("data") == "own"

    def check(self, data_root: Path) -> Iterable[Problem]:
        """Finds missing or unreadable files, annotations that are not ADE20K's, other counts than the real data's."""
        return check_own(data_root, self.spec.options) if self._own else check.problems(data_root)

    def describe(self, data_root: Path) -> Iterable[str]:
        """What was recognised of data of one's own."""
        return describe_own(data_root, self.spec.options) if self._own else check.departures(data_root)

    def fingerprint(self, data_root: Path, digest: FileDigest = digest_of_bytes) -> str:
        """The classes, and names and sizes of images and annotations."""
        if self._own:
            return fingerprint_of_own(data_root, self.spec.options)
        return fingerprint_of_ade20k(data_root)

    def demo(self, data_root: Path, scenes: "SceneSource") -> None:
        """Writes 400 + 300 scenes with background and four garments."""
        demo.write(data_root, scenes)

    def check_recipe(self, recipe: Recipe) -> None:
        """Reads every value of ``recipe`` into its type.

        Raises:
            UserError: an unknown, missing or wrong value, or values that contradict each other.
        """
        read_recipe(recipe)

    def run(self, backbone: "Backbone | None", recipe: Recipe, context: Context) -> dict[str, float]:
        """Trains UperNet on the backbone and returns its metrics in percent.

        Raises:
            UserError: mmsegmentation is not installed, or the data is unusable.
        """
        backbone, data_root = self.given(backbone, context)
        require_mmsegmentation(self.spec.name)
        from segmentation.run import train

        if self._own:
            fitted, keep_zero = self._own_data(recipe, context, backbone.about.depth)
            return train(backbone, fitted, context, keep_zero, self._wrapped)
        for text in check.departures(data_root):
            context.deviation(text)
        return train(backbone, recipe, context, wrapped=self._wrapped)

    @property
    def _wrapped(self) -> bool:
        return self.spec.options.get("wrapped") == "yes"

    def evaluate(self, weights: Path, recipe: Recipe, context: Context) -> dict[str, float]:
        """Evaluates the finished model in ``weights``, an mmengine checkpoint.

        Raises:
            UserError: mmsegmentation is not installed, or weights or data are unusable.
        """
        require_mmsegmentation(self.spec.name)
        from segmentation.evaluation.finished import read_finished
        from segmentation.run import evaluate

        if self._own:
            fitted, keep_zero = self._own_data(recipe, context, read_finished(weights).about.depth)
            return evaluate(weights, fitted, context, keep_zero)
        return evaluate(weights, recipe, context)

    def _own_data(self, recipe: Recipe, context: Context, depth: int) -> tuple[Recipe, bool]:
        """As ``lay_out``, for a backbone of ``depth`` blocks."""
        return lay_out(fit_to_depth(recipe, depth), read_recipe(recipe).protocol, self.spec, context)
