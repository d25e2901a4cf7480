"""The adapter: ViTDet as a task of the benchmark."""

from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from crossmae.data.images import FileDigest, digest_of_bytes
from crossmae.errors import UserError
from crossmae.recipe import Recipe
from detection.recipe import read_recipe
from transfer.task import Context, Problem, Task

if TYPE_CHECKING:
    from crossmae.backbone import Backbone
    from crossmae.data.demo.scenes import SceneSource


class ViTDetTask(Task):
    """``coco_vitdet`` (upstream's stock configuration) and, with the option ``relative_positions: "no"``,
    ``coco_vitdet_norelpos`` (ViTDet Table 4, which the CrossMAE paper's MAE row comes from)."""

    def check(self, data_root: Path) -> Iterable[Problem]:
        """Finds everything wrong with COCO 2017 at ``data_root``."""
        from detection.data.check import check_coco

        return check_coco(data_root)

    def fingerprint(self, data_root: Path, digest: FileDigest = digest_of_bytes) -> str:
        """The annotation files, and names and sizes of the images."""
        from detection.data.listing import fingerprint_of_coco

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
        if backbone is None:
            raise UserError(f"{self.spec.name} needs a backbone", "name one with --backbone")
        self._require_detectron2()
        from detection.training.train import train_vitdet

        return train_vitdet(backbone, recipe, context, self.spec.options.get("relative_positions", "yes") == "yes")

    def evaluate(self, weights: Path, recipe: Recipe, context: Context) -> dict[str, float]:
        """Evaluates the finished detector in ``weights``, a ``.pkl`` or ``.pth`` with detectron2's names.

        Raises:
            UserError: no detectron2, or weights or data are unusable.
        """
        self._require_detectron2()
        from detection.evaluation.finished import evaluate_vitdet

        return evaluate_vitdet(weights, recipe, context)

    def _require_detectron2(self) -> None:
        if find_spec("detectron2") is None:
            raise UserError(f"{self.spec.name} needs detectron2, which is not installed", "run `make setup`")
