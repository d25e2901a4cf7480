"""What is ours inside detectron2's ViTDet: attention, activation checkpointing, losses and random choices per image.

Upstream trains 64 images on 64 GPUs, so that every loss is a mean over images of a mean within the image. detectron2's
heads average over all regions of a device instead, which is another loss as soon as a device holds several images.
Made image by image, the loss is upstream's on any number of devices and for any micro-batch; and with random choices
keyed by image, so is every sampled anchor and region.
"""

from typing import Any

import torch
import torch.nn.functional as F
from detectron2.modeling import GeneralizedRCNN
from detectron2.modeling.backbone.utils import get_abs_pos, get_rel_pos
from detectron2.modeling.backbone.vit import Attention, ViT
from detectron2.modeling.proposal_generator import RPN
from detectron2.modeling.roi_heads import FastRCNNOutputLayers, MaskRCNNConvUpsampleHead, StandardROIHeads
from detectron2.structures import Instances
from torch import Tensor
from torch.utils.checkpoint import checkpoint


class PlainViT(ViT):
    """``detectron2.modeling.ViT`` whose attention can be fused and whose activations can be recomputed.

    Args:
        fused_attention: PyTorch's SDPA kernels in place of plain matrix products.
        activation_checkpointing: recompute every block in the backward pass, through PyTorch (upstream's own option
            needs fairscale).
        options: as ``detectron2.modeling.ViT``.
    """

    def __init__(
        self, *, fused_attention: bool = False, activation_checkpointing: bool = False, **options: Any
    ) -> None:
        super().__init__(**options)
        self.activation_checkpointing = activation_checkpointing
        if fused_attention:
            for block in self.blocks:
                # Same parameters, same names: only the forward pass is another one.
                block.attn.__class__ = FusedAttention

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Maps images ``(N, 3, H, W)`` to one feature map ``(N, C, H / patch, W / patch)``."""
        x = self.patch_embed(x)
        x = x + get_abs_pos(self.pos_embed, self.pretrain_use_cls_token, (x.shape[1], x.shape[2]))
        for block in self.blocks:
            if self.activation_checkpointing and self.training:
                x = checkpoint(block, x, use_reentrant=False)
            else:
                x = block(x)
        return {self._out_features[0]: x.permute(0, 3, 1, 2)}


class FusedAttention(Attention):
    """detectron2's ``Attention`` through PyTorch's fused kernels, equal within rounding, with the same parameters.

    Without relative positions no N x N matrix is stored.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(B, H, W, C)`` to ``(B, H, W, C)``."""
        batch, height, width, _ = x.shape
        qkv = self.qkv(x).reshape(batch, height * width, 3, self.num_heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        bias = self._bias(q, (height, width)) if self.use_rel_pos else None
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        return self.proj(out.transpose(1, 2).reshape(batch, height, width, -1))

    def _bias(self, q: Tensor, size: tuple[int, int]) -> Tensor:
        """Decomposed relative positions, ``(B, heads, N, N)``, from the unscaled queries ``(B, heads, N, d)``."""
        height, width = size
        grid = q.unflatten(2, size)
        rows = get_rel_pos(height, height, self.rel_pos_h).to(q.dtype)
        columns = get_rel_pos(width, width, self.rel_pos_w).to(q.dtype)
        by_row = torch.einsum("bnhwc,hkc->bnhwk", grid, rows)
        by_column = torch.einsum("bnhwc,wkc->bnhwk", grid, columns)
        return (by_row[..., :, None] + by_column[..., None, :]).flatten(4).flatten(2, 3)


class KeyedRCNN(GeneralizedRCNN):
    """Mask R-CNN that samples anchors and regions by each image's ``sampling_seed``, where the data names one."""

    def forward(self, batched_inputs: list[dict[str, Any]]) -> Any:
        """As ``GeneralizedRCNN``: losses in training, instances in evaluation."""
        seeds = [image["sampling_seed"] for image in batched_inputs if "sampling_seed" in image]
        self.proposal_generator.seeds = list(seeds)
        self.roi_heads.seeds = [seed + 1 for seed in seeds]
        return super().forward(batched_inputs)


class KeyedRPN(RPN):
    """Region proposals whose training anchors are drawn by the image's seed."""

    seeds: list[int]

    def _subsample_labels(self, label: Tensor) -> Tensor:
        _seed_next(self.seeds)
        return super()._subsample_labels(label)


class KeyedROIHeads(StandardROIHeads):
    """RoI heads whose training regions are drawn by the image's seed."""

    seeds: list[int]

    def _sample_proposals(self, *matches: Tensor) -> tuple[Tensor, Tensor]:
        _seed_next(self.seeds)
        return super()._sample_proposals(*matches)


class PerImageBoxPredictor(FastRCNNOutputLayers):
    """Box classification and regression whose losses are averaged within each image, then over images."""

    def losses(self, predictions: tuple[Tensor, Tensor], proposals: list[Instances]) -> dict[str, Tensor]:
        """As ``FastRCNNOutputLayers.losses`` of each image, for all images in one pass."""
        scores, deltas = predictions
        classes = torch.cat([image.gt_classes for image in proposals])
        share = _shares([len(image) for image in proposals], scores)
        loss_cls = (F.cross_entropy(scores, classes, reduction="none") * share).sum()
        foreground = ((classes >= 0) & (classes < self.num_classes)).nonzero()[:, 0]
        moved = deltas.view(len(deltas), -1, 4)[foreground, classes[foreground]]
        boxes = torch.cat([image.proposal_boxes.tensor for image in proposals])[foreground]
        truths = torch.cat([_truths(image) for image in proposals])[foreground]
        errors = (moved - self.box2box_transform.get_deltas(boxes, truths)).abs().sum(1)
        return {"loss_cls": loss_cls, "loss_box_reg": (errors * share[foreground]).sum()}


class PerImageMaskHead(MaskRCNNConvUpsampleHead):
    """Mask head whose loss is averaged within each image, then over images (0 for one without a foreground region)."""

    def forward(self, x: Tensor, instances: list[Instances]) -> Any:
        """As ``BaseMaskRCNNHead.forward``."""
        if not self.training:
            return super().forward(x, instances)
        logits = self.layers(x)
        if not len(logits):
            return {"loss_mask": logits.sum() * 0}
        side = logits.shape[-1]
        classes = torch.cat([image.gt_classes for image in instances])
        occupied = [image for image in instances if len(image)]
        truths = [image.gt_masks.crop_and_resize(image.proposal_boxes.tensor, side) for image in occupied]
        masks = logits[torch.arange(len(logits), device=logits.device), classes]
        errors = F.binary_cross_entropy_with_logits(masks, torch.cat(truths).to(masks), reduction="none").mean((1, 2))
        share = _shares([len(image) for image in instances], errors)
        return {"loss_mask": (errors * share).sum() * self.loss_weight}


def _shares(counts: list[int], like: Tensor) -> Tensor:
    """The weight of each region, so that a sum is the mean over images of the means over their regions."""
    shares = [1 / (max(count, 1) * len(counts)) for count in counts]
    repeats = torch.tensor(counts, device=like.device)
    # With its size given, a GPU is not waited for.
    return torch.tensor(shares, device=like.device).repeat_interleave(repeats, output_size=sum(counts))


def _truths(image: Instances) -> Tensor:
    # An image without objects has none; its boxes stand for them, and none of these counts.
    truths: Tensor = (image.gt_boxes if image.has("gt_boxes") else image.proposal_boxes).tensor
    return truths


def _seed_next(seeds: list[int]) -> None:
    # torch.manual_seed walks the call stack, at a hundred times the cost.
    if seeds:
        torch.default_generator.manual_seed(seeds[0])
    if seeds and torch.cuda.is_initialized():
        torch.cuda.manual_seed(seeds[0])
    del seeds[:1]
