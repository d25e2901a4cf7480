"""The model half of a ViTDet configuration, over the file that detectron2 packages."""

from functools import partial
from typing import Any

from detectron2 import model_zoo
from timm.layers import get_act_layer
from torch import nn

from crossmae.weights.options import IMAGENET_MEAN, IMAGENET_STD, RGB
from detection.build.dims import Dims
from detection.model import KeyedRCNN, KeyedROIHeads, KeyedRPN, PerImageBoxPredictor, PerImageMaskHead, PlainViT
from detection.recipe import VitDetProtocol


def model_config(
    protocol: VitDetProtocol,
    dims: Dims,
    relative_positions: bool,
    fused_attention: bool = False,
    activation_checkpointing: bool = False,
    masks: bool = True,
) -> Any:
    """``common/models/mask_rcnn_vitdet.py`` with the protocol's values and the classes of ``detection.model``.

    Args:
        masks: without them, the head of masks is left out: Faster R-CNN.
    """
    model = detector_config(protocol, dims.mean, dims.std, masks)
    net = model.backbone.net
    net._target_ = PlainViT
    net.fused_attention, net.activation_checkpointing = fused_attention, activation_checkpointing
    _set_vit(net, protocol, dims, relative_positions)
    return model


def detector_config(protocol: VitDetProtocol, mean: RGB, std: RGB, masks: bool = True) -> Any:
    """The same with detectron2's ViT as the file has it, for images normalised by ``mean`` and ``std``."""
    model = model_zoo.get_config("common/models/mask_rcnn_vitdet.py").model
    model._target_ = KeyedRCNN
    if (mean, std) != (IMAGENET_MEAN, IMAGENET_STD):  # which stand in the file, on the same scale
        model.pixel_mean, model.pixel_std = ([255 * value for value in values] for values in (mean, std))
    _set_pyramid(model, protocol)
    _set_proposals(model.proposal_generator, protocol)
    _set_heads(model.roi_heads, protocol)
    if not masks:
        heads = model.roi_heads
        heads.mask_in_features = heads.mask_pooler = heads.mask_head = None
    return model


def _set_vit(net: Any, protocol: VitDetProtocol, dims: Dims, relative_positions: bool) -> None:
    net.img_size, net.patch_size = protocol.image_size, protocol.patch_size
    net.embed_dim, net.depth, net.num_heads, net.mlp_ratio = dims.embed_dim, dims.depth, dims.num_heads, dims.mlp_ratio
    net.norm_layer = partial(nn.LayerNorm, eps=dims.norm_eps)
    if dims.activation != "gelu":
        net.act_layer = get_act_layer(dims.activation)
    net.drop_path_rate = protocol.drop_path
    net.window_size = protocol.window_size
    windowed = protocol.window_size > 0
    net.window_block_indexes = [i for i in range(dims.depth) if windowed and i not in protocol.global_blocks]
    net.use_rel_pos = relative_positions
    # detectron2 counts positions as pretrain_img_size // patch_size, with its own patch size.
    net.pretrain_img_size = dims.grid * protocol.patch_size
    net.pretrain_use_cls_token = dims.class_token


def _set_pyramid(model: Any, protocol: VitDetProtocol) -> None:
    pyramid, backbone = protocol.pyramid, model.backbone
    backbone.square_pad = protocol.image_size
    backbone.out_channels = pyramid.channels
    backbone.scale_factors = list(pyramid.scales)
    strides = protocol.strides
    names = [f"p{stride.bit_length() - 1}" for stride in strides]
    if not pyramid.extra_level:
        backbone.top_block = None
    extra = [strides[-1] * 2] if pyramid.extra_level else []
    rpn, heads = model.proposal_generator, model.roi_heads
    rpn.in_features = names + [f"p{stride.bit_length() - 1}" for stride in extra]
    rpn.anchor_generator.strides = strides + extra
    heads.box_in_features = heads.mask_in_features = names
    heads.box_pooler.scales = heads.mask_pooler.scales = [1.0 / stride for stride in strides]


def _set_proposals(rpn: Any, protocol: VitDetProtocol) -> None:
    values = protocol.rpn
    rpn._target_ = KeyedRPN
    rpn.head.in_channels = protocol.pyramid.channels
    rpn.head.conv_dims = [-1] * values.convs
    rpn.anchor_generator.sizes = [[side] for side in protocol.anchors]
    rpn.batch_size_per_image = values.anchors_per_image
    rpn.pre_nms_topk, rpn.post_nms_topk = values.before_nms, values.after_nms


def _set_heads(heads: Any, protocol: VitDetProtocol) -> None:
    box, mask = protocol.box_head, protocol.mask_head
    heads._target_ = KeyedROIHeads
    heads.num_classes = protocol.classes
    heads.batch_size_per_image = protocol.rois_per_image
    heads.box_head.input_shape.channels = heads.mask_head.input_shape.channels = protocol.pyramid.channels
    heads.box_head.conv_dims = [box.channels] * box.convs
    heads.box_head.fc_dims = [box.fc]
    heads.box_predictor._target_ = PerImageBoxPredictor
    heads.box_predictor.input_shape.channels = box.fc
    heads.box_predictor.test_topk_per_image = protocol.detections_per_image
    heads.mask_head._target_ = PerImageMaskHead
    heads.mask_pooler.output_size = mask.side
    heads.mask_head.input_shape.width = heads.mask_head.input_shape.height = mask.side
    heads.mask_head.conv_dims = [mask.channels] * (mask.convs + 1)
