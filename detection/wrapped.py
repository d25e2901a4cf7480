"""Mask R-CNN on any backbone: its own feature maps in a pyramid, in place of detectron2's ViT.

A second protocol. All blocks attend globally, prefix tokens (class tokens, registers) stay in the sequence, there are
no relative positions, and kernels of other patches keep their response. A backbone with one stride gets ViTDet's simple
feature pyramid over its last map, one with stages a feature pyramid network over those that the protocol's levels name.
Learning rates decay over the backbone's own layers; biases, norms, tokens and positions have no weight decay.
"""

from typing import Any

from detectron2.layers import ShapeSpec
from detectron2.modeling import Backbone as Detectron2Backbone
from detectron2.modeling import SimpleFeaturePyramid
from detectron2.modeling.backbone.fpn import FPN, LastLevelMaxPool
from omegaconf import OmegaConf
from torch import Tensor, nn

from crossmae.backbone import Backbone
from crossmae.errors import UserError
from crossmae.wrapped.layers import decayed_groups
from crossmae.wrapped.maps import Maps
from detection.build.model import detector_config
from detection.recipe import VitDetProtocol

PROTOCOL = "backbone wrapped: all blocks attend globally, prefix tokens kept, no relative positions"
"""Stands as a deviation in the record of every run on it in a task with a protocol of its own."""


class WrappedNet(Detectron2Backbone):
    """The maps of any backbone under detectron2's names: ``last_feat``, or ``res2`` to ``res5`` by stride."""

    def __init__(self, maps: Maps) -> None:
        super().__init__()
        self.maps = maps
        names = [f"res{stride.bit_length() - 1}" for stride in maps.strides] if maps.staged else ["last_feat"]
        self.shapes = {
            name: ShapeSpec(channels=channels, stride=stride)
            for name, channels, stride in zip(names, maps.channels, maps.strides, strict=True)
        }

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Images (N, 3, H, W) to maps by name."""
        return dict(zip(self.shapes, self.maps(images), strict=True))

    def output_shape(self) -> dict[str, ShapeSpec]:
        """Channels and stride of each map."""
        return dict(self.shapes)


def wrapped_config(
    protocol: VitDetProtocol, backbone: Backbone, activation_checkpointing: bool, masks: bool = True
) -> Any:
    """The detector's LazyConfig, whose ``backbone`` is a module already, with the weights of ``backbone`` in it.

    Raises:
        UserError: the backbone has not the strides of the protocol's pyramid, or no such patches.
    """
    maps = _maps(protocol, backbone)
    maps.trunk.set_grad_checkpointing(activation_checkpointing)
    config = detector_config(protocol, backbone.about.mean, backbone.about.std, masks)
    OmegaConf.set_struct(config, False)
    config.backbone = _pyramid(protocol, maps)
    return config


def wrapped_groups(model: Any, protocol: VitDetProtocol) -> list[dict[str, Any]]:
    """Parameter groups of a detector on a wrapped backbone, for an optimizer of detectron2."""
    net = getattr(model.backbone, "net", None) or model.backbone.bottom_up
    groups = decayed_groups(model, net.maps.trunk, protocol.weight_decay, protocol.layer_decay)
    return [
        {"params": group["params"], "weight_decay": group["weight_decay"], "lr": protocol.lr * group["lr_scale"]}
        for group in groups
    ]


def _maps(protocol: VitDetProtocol, backbone: Backbone) -> Maps:
    about = backbone.about
    if not about.staged:
        return backbone.maps(protocol.image_size, [about.depth - 1], protocol.patch_size, protocol.drop_path)
    whole = backbone.maps(protocol.image_size)
    missing = [stride for stride in protocol.strides if stride not in whole.strides]
    if missing:
        raise UserError(
            f"{about.source} has stages of strides {list(whole.strides)}, the recipe's pyramid has {missing}, too",
            "change pyramid.scales",
        )
    taps = [whole.taps[whole.strides.index(stride)] for stride in protocol.strides]
    return backbone.maps(protocol.image_size, taps, drop_path=protocol.drop_path)


def _pyramid(protocol: VitDetProtocol, maps: Maps) -> nn.Module:
    pyramid = protocol.pyramid
    options = {
        "out_channels": pyramid.channels,
        "norm": "LN",
        "top_block": LastLevelMaxPool() if pyramid.extra_level else None,
        "square_pad": protocol.image_size,
    }
    net = WrappedNet(maps)
    if maps.staged:
        return FPN(bottom_up=net, in_features=list(net.shapes), **options)
    return SimpleFeaturePyramid(net=net, in_feature="last_feat", scale_factors=list(pyramid.scales), **options)
