"""The adapter: ViTDet as a task of the benchmark."""

from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from crossmae.data.images import FileDigest, digest_of_bytes, is_generated
from crossmae.errors import UserError
from crossmae.recipe import Recipe
from detection.recipe import fit_to_data, read_recipe
from transfer.task import OWN_DATA, Context, Problem, Task

if TYPE_CHECKING:
    from crossmae.backbone import Backbone
    from crossmae.data.demo.scenes import SceneSource
    from detection.recipe import Masks


class ViTDetTask(Task):
    """``coco_vitdet`` (upstream's stock configuration) and, with the option ``relative_positions: "no"``,
    ``coco_vitdet_norelpos`` (ViTDet Table 4, which the CrossMAE paper's MAE row comes from).

    With the option ``data: own``, ``coco_format_vitdet``: any data in COCO's format, with masks or without. A backbone
    that is no plain ViT is wrapped, which is noted; with the option ``wrapped: "yes"`` every backbone is, so that
    different ones are compared under one protocol.
    """

    @property
    def _own(self) -> bool:
        return self.spec.options.get("data") == "own"

    def check(self, data_root: Path) -> Iterable[Problem]:
        """Finds everything wrong with COCO 2017, or data in its format, at ``data_root``."""
        from detection.data.check import check_coco
        from detection.data.own_check import check_own

        return check_own(data_root, self.spec.options) if self._own else check_coco(data_root)

    def describe(self, data_root: Path) -> Iterable[str]:
        """What was recognised of data of one's own."""
        from detection.data.own_check import describe_own

        return describe_own(data_root, self.spec.options) if self._own else ()

    def fingerprint(self, data_root: Path, digest: FileDigest = digest_of_bytes) -> str:
        """The annotation files, and names and sizes of the images."""
        from detection.data.layout import fingerprint_of_coco
        from detection.data.own import fingerprint_of_own

        if self._own:
            return fingerprint_of_own(data_root, self.spec.options, digest)
        return fingerprint_of_coco(data_root, digest)

    def demo(self, data_root: Path, scenes: "SceneSource") -> None:
        """Writes generated scenes in COCO's format."""
        from detection.data.demo import write_demo

        write_demo(data_root, scenes)

    def check_recipe(self, recipe: Recipe) -> None:
        """Reads every value of ``recipe`` into its type.

        Raises:
            UserError: an unknown, missing or wrong value, or values that contradict each other.
        """
        read_recipe(recipe)

    def run(self, backbone: "Backbone | None", recipe: Recipe, context: Context) -> dict[str, float]:
        """Trains Mask R-CNN on the backbone and returns box and mask AP in percent.

        Raises:
            UserError: no detectron2, unusable data, or a backbone that ViTDet cannot take.
        """
        backbone, data_root = self.given(backbone, context)
        self._require_detectron2()
        from detection.training.train import train_vitdet

        relative_positions = self.spec.options.get("relative_positions", "yes") == "yes"
        if self._own:
            fitted, masks = self._own_data(recipe, context)
            return train_vitdet(backbone, fitted, context, relative_positions, masks, wrapped=self._wrapped)
        published = not is_generated(data_root)
        return train_vitdet(backbone, recipe, context, relative_positions, published=published, wrapped=self._wrapped)

    @property
    def _wrapped(self) -> bool:
        return self.spec.options.get("wrapped") == "yes"

    def _own_data(self, recipe: Recipe, context: Context) -> "tuple[Recipe, Masks]":
        """Tidies the data into the run's folder; the recipe for it, and how its masks are kept."""
        from detection.data.own import read_own, tidy

        assert context.data_root is not None
        data = read_own(context.data_root, self.spec.options)
        context.data_root = tidy(data, context.folder / OWN_DATA)
        images = len({thing["image_id"] for thing in data.train.content["annotations"]})
        return fit_to_data(recipe, len(data.train.categories), images), data.masks

    def evaluate(self, weights: Path, recipe: Recipe, context: Context) -> dict[str, float]:
        """Evaluates the finished detector in ``weights``, a ``.pkl`` or ``.pth`` with detectron2's names.

        Raises:
            UserError: no detectron2, or weights or data are unusable.
        """
        self._require_detectron2()
        from detection.evaluation.finished import evaluate_vitdet

        fitted, masks = self._own_data(recipe, context) if self._own else (recipe, "polygon")
        return evaluate_vitdet(weights, fitted, context, masks)

    def _require_detectron2(self) -> None:
        if find_spec("detectron2") is None:
            raise UserError(f"{self.spec.name} needs detectron2, which is not installed", "run `make setup`")
