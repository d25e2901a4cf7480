"""The task ``ade20k_upernet``."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from crossmae.errors import UserError
from crossmae.recipe import Recipe
from segmentation.data import check, demo
from transfer.task import Context, Problem, Task

if TYPE_CHECKING:
    from crossmae.backbone import Backbone
    from crossmae.data.scenes import SceneSource


class UperNetTask(Task):
    """UperNet on ADE20K with mmsegmentation; ``miou``, ``aacc`` and ``macc`` at a single scale."""

    def check(self, data_root: Path) -> Iterable[Problem]:
        """Missing or unreadable files, annotations that are not ADE20K's, counts that differ from the real data's."""
        return check.problems(data_root)

    def demo(self, data_root: Path, scenes: "SceneSource") -> None:
        """Writes 400 + 300 scenes with background and four garments."""
        demo.write(data_root, scenes)

    def run(self, backbone: "Backbone | None", recipe: Recipe, context: Context) -> dict[str, float]:
        """Trains and evaluates.

        Raises:
            UserError: mmsegmentation is not installed, or the data is unusable.
        """
        assert backbone is not None
        try:
            from segmentation.training import train
        except ModuleNotFoundError as error:
            raise UserError(f"segmentation needs mmsegmentation ({error.name} is missing); run: make setup") from error
        return train(backbone, recipe, context)
