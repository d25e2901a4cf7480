"""The Tasks of Tables 6 and 13 of the CrossMAE paper: they look into an autoencoder and train nothing."""

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from crossmae.data.images import FileDigest, digest_of_bytes
from crossmae.errors import UserError
from crossmae.parsing import Count, Strict
from crossmae.recipe import Recipe, read_sections
from transfer.datasets.demo import write_demo
from transfer.datasets.layouts import reader_of
from transfer.task import Context, Problem, Task

if TYPE_CHECKING:
    from torch import Tensor

    from crossmae.backbone import Backbone
    from crossmae.data.demo.scenes import SceneSource
    from crossmae.model.autoencoder import MaskedAutoencoder

Batches = Iterator[tuple["Tensor", "Tensor"]]

_DRAWN = 6
"""Images in a picture, spread over the data set."""


@dataclass(frozen=True)
class AnalysisProtocol(Strict):
    """The ``protocol`` section of an analysis."""

    images: Count | None = None
    """Number of validation images, spread evenly; None for all."""
    model: Mapping[str, Any] = field(default_factory=dict)
    """Options, named as in MAEConfig, that a released file does not say."""


@dataclass(frozen=True)
class AnalysisExecution(Strict):
    """The ``execution`` section of an analysis."""

    per_device_batch: Count = 64
    """Images that are looked at together."""


class AnalysisTask(Task):
    """Runs a whole autoencoder over the validation images of the data set of ``options: {reader: ...}``."""

    def check(self, data_root: Path) -> Iterable[Problem]:
        """Everything wrong with the layout, the lists and the files at ``data_root``."""
        return reader_of(self.spec.options).check(data_root)

    def fingerprint(self, data_root: Path, digest: FileDigest = digest_of_bytes) -> str:
        """Classes, and names, sizes and labels of all images."""
        return reader_of(self.spec.options).fingerprint(data_root)

    def demo(self, data_root: Path, scenes: "SceneSource") -> None:
        """Writes a small data set in the real one's format."""
        write_demo(self.spec.options["reader"], data_root, scenes)

    def check_recipe(self, recipe: Recipe) -> None:
        """Reads both sections."""
        read_sections(recipe, AnalysisProtocol, AnalysisExecution)

    def run(self, backbone: "Backbone | None", recipe: Recipe, context: Context) -> dict[str, float]:
        """The metrics of ``measure`` over ``protocol.images`` validation images (all if null).

        Raises:
            UserError: the backbone comes without a decoder, or there are no images.
        """
        import torch

        from crossmae.analysis.views import batches, open_validation, pick

        backbone, data_root = self.given(backbone, context)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        values = read_sections(recipe, AnalysisProtocol, AnalysisExecution)
        model = autoencoder_of(backbone, values.protocol).to(device)
        images = open_validation(data_root)
        indices = pick(images, values.protocol.images)
        seen = partial(batches, images, config=model.config, seed=context.seed, device=device)
        drawn = next(seen(indices=pick(images, _DRAWN), batch=_DRAWN))
        self.draw(model, *drawn, context)
        shown = _reported(seen(indices=indices, batch=values.execution.per_device_batch), context, len(indices))
        return self.measure(model, shown, [images.name(index) for index in indices], context)

    @abstractmethod
    def draw(self, model: "MaskedAutoencoder", images: "Tensor", noise: "Tensor", context: Context) -> None:
        """Leaves pictures of some images (N, 3, H, W), normalised, with the noise (N, num_patches) of their masks."""

    @abstractmethod
    def measure(
        self, model: "MaskedAutoencoder", batches: Batches, names: list[str], context: Context
    ) -> dict[str, float]:
        """Looks at ``batches`` of images and noise; ``names`` are those of all images in order."""


class AttentionTask(AnalysisTask):
    """Table 6: attention of masked tokens to visible and to masked tokens, per decoder block and summed."""

    def draw(self, model: "MaskedAutoencoder", images: "Tensor", noise: "Tensor", context: Context) -> None:
        """``attention_maps`` and, if there is inter-block attention, ``inter_block_weights``."""
        from crossmae.analysis.figures import attention_map_figure, mixing_figure

        attention_map_figure(model, images, noise, context.folder / "attention_maps.png")
        context.artifact("attention_maps", context.folder / "attention_maps.png")
        if model.decoder.mixing is not None:
            mixing_figure(model, context.folder / "inter_block_weights.png")
            context.artifact("inter_block_weights", context.folder / "inter_block_weights.png")

    def measure(
        self, model: "MaskedAutoencoder", batches: Batches, names: list[str], context: Context
    ) -> dict[str, float]:
        """``to_visible_blockN``, ``to_masked_blockN`` and both ``_sum``, in the unit of the table."""
        from crossmae.analysis.attention import mask_token_attention, total
        from crossmae.analysis.figures import attention_figure

        blocks = mask_token_attention(model, batches)
        attention_figure(blocks, context.folder / "attention.png")
        context.artifact("attention", context.folder / "attention.png")
        rows = {f"block{index}": block for index, block in enumerate(blocks, start=1)} | {"sum": total(blocks)}
        metrics = {f"to_visible_{name}": row.to_visible for name, row in rows.items()}
        return metrics | {f"to_masked_{name}": row.to_masked for name, row in rows.items()}


class PSNRTask(AnalysisTask):
    """Table 13: PSNR of the masked patches in dB."""

    def draw(self, model: "MaskedAutoencoder", images: "Tensor", noise: "Tensor", context: Context) -> None:
        """``reconstructions``."""
        from crossmae.analysis.reconstruct import reconstruction_grid

        reconstruction_grid(model, images, noise).save(context.folder / "reconstructions.png")
        context.artifact("reconstructions", context.folder / "reconstructions.png")

    def measure(
        self, model: "MaskedAutoencoder", batches: Batches, names: list[str], context: Context
    ) -> dict[str, float]:
        """``psnr``, the mean over the images; leaves each image's."""
        from crossmae.analysis.psnr import psnr_of

        values = psnr_of(model, batches)
        context.per_sample(pd.DataFrame({"sample": names, "psnr": values.cpu().numpy()}))
        return {"psnr": values.mean().item()}


def autoencoder_of(backbone: "Backbone", protocol: AnalysisProtocol) -> "MaskedAutoencoder":
    """The whole autoencoder that ``backbone`` was taken from; ``protocol.model`` says what a released file does not.

    Raises:
        UserError: it comes from a source that has no decoder.
    """
    from crossmae.weights.sources import load_pretrained

    source = backbone.about.source
    if source.startswith(("random:", "timm:")):
        raise UserError(f"{source} has no decoder to look into", "give a pretraining checkpoint or a released file")
    return load_pretrained(source, **protocol.model)


def _reported(batches: Batches, context: Context, count: int) -> Batches:
    seen = 0
    for images, noise in batches:
        yield images, noise
        seen += len(images)
        context.progress(seen, count, {})
