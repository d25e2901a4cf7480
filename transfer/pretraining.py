"""Pretraining as a task, so that a plan runs it like any other and its loss has a record."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from crossmae.data.decode import UnreadableImage, read_rgb
from crossmae.data.demo.write import write_unlabelled
from crossmae.data.images import FileDigest, Images, described, digest_of_bytes, fingerprint_of
from crossmae.data.open import open_images
from crossmae.errors import UserError
from crossmae.recipe import Recipe
from crossmae.run.rank import is_main
from crossmae.train.config import Precision
from transfer.task import Context, Problem, Task

if TYPE_CHECKING:
    from crossmae.backbone import Backbone
    from crossmae.data.demo.scenes import SceneSource

_LOOKED_AT = 32
_DRAWN = 6
_PUT_THEM_THERE = "put images there or say where they are: --data pretrain=PATH"


class Pretraining(Task):
    """Leaves ``checkpoint/`` in the run folder, for ``Backbone.load``."""

    def check(self, data_root: Path) -> Iterable[Problem]:
        """No images, or some that cannot be read; every so many-th is decoded."""
        try:
            images = open_images(data_root)
        except UserError as error:
            return [Problem(error.what, error.remedy or _PUT_THEM_THERE)]
        return _unreadable(images)

    def fingerprint(self, data_root: Path, digest: FileDigest = digest_of_bytes) -> str:
        """Names and sizes of all images."""
        images = open_images(data_root)
        return fingerprint_of((images.fingerprint, *described(images, data_root)))

    def demo(self, data_root: Path, scenes: "SceneSource") -> None:
        """Writes unlabelled scenes; their generator is seeded by itself."""
        write_unlabelled(data_root)

    def check_recipe(self, recipe: Recipe) -> None:
        """Reads the recipe as ``crossmae pretrain`` does."""
        from crossmae.pretraining.recipe import read_recipe

        read_recipe(recipe, seed=0)

    def run(self, backbone: "Backbone | None", recipe: Recipe, context: Context) -> dict[str, float]:
        """Pretrains; the mean loss of the last log line.

        Raises:
            Stopped, UserError: see ``crossmae.pretraining.run.pretrain``.
        """
        from crossmae.pretraining.run import pretrain
        from crossmae.train.runtime.precision import precision_deviation

        assert context.data_root is not None
        precision: Precision = "bf16" if context.precision == "bf16" else "fp32"
        done = pretrain(recipe, context.data_root, context.folder, context.seed, context.progress, precision=precision)
        context.throughput = done.images_per_second
        for text in (precision_deviation(precision), *open_images(context.data_root).deviations):
            context.deviation(text)
        if is_main():
            _draw(done.checkpoint, context)
        return done.metrics


def _draw(checkpoint: Path, context: Context) -> None:
    """Leaves a picture of what the finished autoencoder makes of some training images."""
    from crossmae.analysis.reconstruct import reconstruction_grid
    from crossmae.analysis.views import batches, pick
    from crossmae.weights.sources import load_pretrained

    assert context.data_root is not None
    model = load_pretrained(checkpoint).eval()
    images = open_images(context.data_root)
    pixels, noise = next(batches(images, pick(images, _DRAWN), model.config, _DRAWN, context.seed))
    path = context.folder / "reconstruction.png"
    reconstruction_grid(model, pixels, noise).save(path)
    context.artifact("reconstruction", path)


def _unreadable(images: Images) -> Iterable[Problem]:
    for index in range(0, len(images), max(1, len(images) // _LOOKED_AT)):
        try:
            read_rgb(images.read(index))
        except UnreadableImage as error:
            yield Problem(f"{images.name(index)} cannot be read ({error})", "mend or remove it")
