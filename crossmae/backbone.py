"""Backbone: what pretraining produces and every task consumes."""

from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from torch import Tensor

from crossmae.errors import UserError
from crossmae.model.positions import resize_patch_kernel, resize_pos_embed
from crossmae.weights.checkpoint import save_backbone
from crossmae.weights.files import Weights, digest_weights
from crossmae.weights.spec import BackboneSpec
from crossmae.wrapped.source import open_source, save_wrapped
from crossmae.wrapped.spec import WrappedSpec

if TYPE_CHECKING:
    from timm.models.vision_transformer import VisionTransformer

    from crossmae.features import Features
    from crossmae.wrapped.build import Size
    from crossmae.wrapped.maps import Maps

__all__ = ["Backbone", "BackboneSpec", "WrappedSpec", "resize_patch_kernel", "resize_pos_embed"]


class Backbone:
    """Weights of a vision model under timm's names, and what it is.

    A *plain* vision transformer's weights go into the engines' own classes; its position embeddings always hold a row
    for every prefix token (class token, registers). Any other model of timm is *wrapped*: tasks take its feature maps.

    Attributes:
        about: the specification of either kind.
    """

    def __init__(self, weights: Mapping[str, Tensor], about: BackboneSpec | WrappedSpec) -> None:
        self.about = about
        self._weights: Weights = dict(weights)

    @classmethod
    def load(cls, source: str | Path, seed: int = 0, num_heads: int | None = None) -> Self:
        """Loads a backbone.

        Args:
            source: ``RUN/checkpoint`` or a folder that ``save`` wrote; a released CrossMAE or MAE ``.pth`` or
                ``.safetensors``; ``timm:NAME`` (pretrained weights of any model of timm) or ``timm:NAME@FILE``;
                ``hf:FOLDER_OR_NAME``; ``python:MODULE:FUNCTION`` or ``python:MODULE:FUNCTION@FILE`` (code of the
                user's own); ``random:PRESET`` (initial weights drawn with ``seed``). Behind a ``?`` stands what none
                of these says: see ``crossmae.weights.options.SourceOptions``.
            num_heads: the same as ``?heads=``.

        Raises:
            UserError: unknown source, unreadable, or weights that do not fit: each in one line.
        """
        return cls(*open_source(str(source), seed, num_heads))

    @property
    def spec(self) -> BackboneSpec:
        """The specification of a plain vision transformer.

        Raises:
            UserError: it is another model.
        """
        if isinstance(self.about, BackboneSpec):
            return self.about
        raise UserError(
            f"{self.about.source} is {self.about.model}, no plain vision transformer",
            "take a task or recipe for wrapped backbones",
        )

    @cached_property
    def digest(self) -> str:
        """Sixteen hex digits over all weights: equal for equal weights, wherever they come from."""
        return digest_weights(self._weights)

    def state_dict(self) -> Weights:
        """The weights under timm's VisionTransformer names; the tensors are shared, not copied."""
        return dict(self._weights)

    def to_timm(
        self,
        num_classes: int,
        image_size: int | None = None,
        drop_path: float = 0.0,
        global_pool: Literal["avg", "token"] = "avg",
        expected_missing: Collection[str] = (),
    ) -> "VisionTransformer":
        """A timm VisionTransformer with these weights and a new head.

        ``avg`` follows MAE's fine-tuning: patch tokens are averaged and then normalised by a new ``fc_norm``, and the
        backbone's own final norm is left out. ``token`` classifies the normalised class token.

        Args:
            num_classes: outputs of the new head; 0 for no head.
            image_size: side in pixels; position embeddings are resized if it differs from the specification's.
            drop_path: rate at the last block, rising linearly from 0.
            expected_missing: timm names that may keep their initial values although the weights lack them.

        Raises:
            UserError: a weight without a place or a place without a weight, listed in one line.
        """
        from crossmae.weights.timm import build_timm

        return build_timm(self._weights, self.spec, num_classes, image_size, drop_path, global_pool, expected_missing)

    def features(self, image_size: "Size | None" = None, norm: bool | None = None) -> "Features":
        """The backbone as a source of features, with no head; in training mode, as any new module.

        Args:
            image_size: side in pixels, or height and width; position embeddings are resized if need be.
            norm: whether features are taken after the final norm; None: as the model has it. CrossMAE's has none.

        Raises:
            UserError: patches that do not cover the image, or ``norm`` of a backbone that has none.
        """
        from crossmae.features import ViTFeatures, WrappedFeatures

        if isinstance(self.about, BackboneSpec):
            return ViTFeatures(self._weights, self.about, image_size, norm)
        return WrappedFeatures(self._weights, self.about, image_size, norm)

    def maps(
        self,
        image_size: "Size",
        taps: Sequence[int] | None = None,
        patch_size: int | None = None,
        drop_path: float = 0.0,
    ) -> "Maps":
        """The feature maps of the backbone, plain or not, as a module that trains: all blocks global, prefix kept.

        Args:
            image_size: side in pixels, or height and width.
            taps: blocks or stages, counted from 0; by default the last block of each quarter, or all stages.
            patch_size: another one than the backbone's; kernels keep their response to smooth patches.
            drop_path: rate at the last block, rising linearly from 0.

        Raises:
            UserError: patches that do not cover the image, or a patch size where there are stages.
        """
        from crossmae.wrapped.build import build, build_plain
        from crossmae.wrapped.maps import Maps

        about, weights = self.about, self._weights
        if isinstance(about, BackboneSpec):
            return Maps(build_plain(weights, about, image_size, patch_size, drop_path), taps)
        return Maps(build(weights, about, image_size, patch_size, drop_path), taps)

    def save(self, folder: Path) -> None:
        """Writes ``model.safetensors`` and ``config.json``, each complete or not at all; ``load`` reads them back."""
        if isinstance(self.about, BackboneSpec):
            save_backbone(self._weights, self.about, folder)
        else:
            save_wrapped(self._weights, self.about, folder)
