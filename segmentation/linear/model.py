"""The two parts of a linear segmenter: a frozen backbone's last map, and the head."""

from typing import Any, Self

import torch
import torch.nn.functional as F
from mmcv.cnn import build_norm_layer
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from torch import Tensor

from crossmae.backbone import Backbone
from crossmae.features import Features
from crossmae.wrapped.spec import written_in


@MODELS.register_module()
class FrozenMap(BaseModule):
    """The last feature map of any backbone, which never trains; initial weights until ``load_backbone``.

    Images are padded with zeros on all sides to whole patches, and the map is that of the padded image: DINOv2's
    ``CenterPadding``.

    Args:
        about: what ``crossmae.wrapped.spec.written`` gives of the backbone's specification.
        crop: side of the images.
        norm: whether the map is taken after the final norm.
    """

    def __init__(self, about: dict[str, str], crop: int, norm: bool) -> None:
        super().__init__()
        spec = written_in(about, "the configuration")
        assert spec is not None
        self.crop, self.norm = crop, norm
        self.missing = -crop % spec.patch_size
        self.features = self._features_of(Backbone({}, spec))

    def init_weights(self) -> None:
        """Leaves the weights as they are: ``load_backbone`` replaces them."""

    def load_backbone(self, backbone: Backbone) -> None:
        """Takes the weights of ``backbone``, of the same specification."""
        self.features.load_state_dict(self._features_of(backbone).state_dict())

    def train(self, mode: bool = True) -> Self:
        """Leaves the backbone in evaluation mode, its batch norms and drop paths too."""
        super().train(mode)
        self.features.eval()
        return self

    @torch.no_grad()
    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Images (N, 3, crop, crop) to one map (N, C, h, w)."""
        before, after = self.missing // 2, self.missing - self.missing // 2
        return (self.features(F.pad(images, (before, after, before, after))).maps[-1],)

    def _features_of(self, backbone: Backbone) -> Features:
        return backbone.features(self.crop + self.missing, self.norm).requires_grad_(False).eval()


@MODELS.register_module()
class BatchNormHead(BaseDecodeHead):
    """Batch norm, then the 1x1 convolution that every head ends with."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        _, self.batch_norm = build_norm_layer(self.norm_cfg, self.in_channels)

    def forward(self, maps: tuple[Tensor, ...]) -> Tensor:
        """Maps (N, C, h, w), of which the last counts, to logits (N, classes, h, w)."""
        logits: Tensor = self.cls_seg(self.batch_norm(self._transform_inputs(maps)))
        return logits
