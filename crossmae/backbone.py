"""Backbone: what pretraining produces and every task consumes."""

from collections.abc import Collection, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from torch import Tensor

from crossmae.model.positions import resize_patch_kernel, resize_pos_embed
from crossmae.weights.checkpoint import save_backbone
from crossmae.weights.files import Weights, digest_weights
from crossmae.weights.sources import read_source
from crossmae.weights.spec import BackboneSpec

if TYPE_CHECKING:
    from timm.models.vision_transformer import VisionTransformer

    from crossmae.features import ViTFeatures

__all__ = ["Backbone", "BackboneSpec", "resize_patch_kernel", "resize_pos_embed"]


class Backbone:
    """Weights of a vision transformer under timm's names, with their specification.

    The position embeddings always hold a row for every prefix token (class token, registers).
    """

    def __init__(self, weights: Mapping[str, Tensor], spec: BackboneSpec) -> None:
        self.spec = spec
        self._weights: Weights = dict(weights)

    @classmethod
    def load(cls, source: str | Path, seed: int = 0, num_heads: int | None = None) -> Self:
        """Loads a backbone.

        Args:
            source: ``RUN/checkpoint`` or a folder that ``save`` wrote; a released CrossMAE or MAE ``.pth`` or
                ``.safetensors``; ``timm:NAME`` (pretrained weights of timm) or ``timm:NAME@FILE``;
                ``hf:FOLDER_OR_NAME`` (a plain ViT); ``random:PRESET`` (initial weights drawn with ``seed``). Behind
                a ``?`` stands what none of these says: see ``crossmae.weights.options.SourceOptions``.
            num_heads: the same as ``?heads=``.

        Raises:
            UserError: unknown source, unreadable, or no plain vision transformer: each in one line.
        """
        return cls(*read_source(str(source), seed, num_heads))

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

    def features(self, image_size: int | None = None, norm: bool | None = None) -> "ViTFeatures":
        """The backbone as a source of features, with no head; in training mode, as any new module.

        Args:
            image_size: side in pixels; position embeddings are resized if it differs from the specification's.
            norm: whether features are taken after the final norm; None: as the model has it. CrossMAE's has none.

        Raises:
            UserError: patches that do not cover the image, or ``norm`` of a backbone that has none.
        """
        from crossmae.features import ViTFeatures

        return ViTFeatures(self._weights, self.spec, image_size, norm)

    def save(self, folder: Path) -> None:
        """Writes ``model.safetensors`` and ``config.json``, each complete or not at all; ``load`` reads them back."""
        save_backbone(self._weights, self.spec, folder)
