"""The Task behind the runtime and memory columns of Tables 4, 5 and 18 of the CrossMAE paper."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from crossmae.recipe import Recipe
from crossmae.train.config import Precision
from transfer.task import Context, Problem, Task

if TYPE_CHECKING:
    from crossmae.backbone import Backbone
    from crossmae.data.demo.scenes import SceneSource

NO_LOADING = "speed on images of noise that lie on the device: without data loading"


class SpeedTask(Task):
    """Times training steps of a pretraining recipe; needs neither data nor a backbone."""

    def check(self, data_root: Path) -> Iterable[Problem]:
        """Nothing: there is no data."""
        return ()

    def demo(self, data_root: Path, scenes: "SceneSource") -> None:
        """Nothing: there is no data."""

    def check_recipe(self, recipe: Recipe) -> None:
        """Reads the recipe, which is one of pretraining."""
        from crossmae.pretraining.recipe import read_recipe

        read_recipe(recipe, seed=0)

    def run(self, backbone: "Backbone | None", recipe: Recipe, context: Context) -> dict[str, float]:
        """``minutes_per_epoch`` (1,281,167 images), ``memory_mb`` (2**20 bytes, greatest of the processes), and others.

        ``tflops`` is what one process achieves; ``matmul_share`` and ``mfu`` are in percent, the latter on GPUs only.
        """
        from crossmae.analysis.speed import measure
        from crossmae.pretraining.recipe import read_recipe

        values = read_recipe(recipe, context.seed)
        precision: Precision = "bf16" if context.precision == "bf16" else "fp32"
        speed = measure(replace(values, execution=replace(values.execution, precision=precision)))
        context.throughput = speed.images_per_second
        context.deviation(NO_LOADING)
        metrics = {
            "minutes_per_epoch": speed.minutes_per_epoch,
            "memory_mb": speed.memory_bytes / 2**20,
            "ms_per_step": speed.ms_per_step,
            "images_per_second": speed.images_per_second,
            "tflops": speed.flops_per_second / 1e12,
            "matmul_share": 100 * speed.matmul_share,
        }
        return metrics if speed.mfu is None else {**metrics, "mfu": 100 * speed.mfu}
