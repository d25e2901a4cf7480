"""Losses and random choices of Mask R-CNN made image by image.

Upstream trains 64 images on 64 GPUs, so that every loss is a mean over images of a mean within the image. detectron2's
heads average over all regions of a device instead, which is another loss as soon as a device holds several images.
Made image by image, the loss is upstream's on any number of devices and for any micro-batch; and with random choices
keyed by image, so is every sampled anchor and region.
"""

from typing import Any

import torch
import torch.nn.functional as F
from detectron2.modeling import GeneralizedRCNN
from detectron2.modeling.proposal_generator import RPN
from detectron2.modeling.roi_heads import FastRCNNOutputLayers, MaskRCNNConvUpsampleHead, StandardROIHeads
from detectron2.structures import Instances
from torch import Tensor


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
        found = ((classes >= 0) & (classes < self.num_classes)).nonzero()[:, 0]
        moved = deltas.view(len(deltas), -1, 4)[found, classes[found]]
        boxes = torch.cat([image.proposal_boxes.tensor for image in proposals])[found]
        truths = torch.cat([_truths(image) for image in proposals])[found]
        errors = (moved - self.box2box_transform.get_deltas(boxes, truths)).abs().sum(1)
        return {"loss_cls": loss_cls, "loss_box_reg": (errors * share[found]).sum()}


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
        seen = [image for image in instances if len(image)]
        truths = [image.gt_masks.crop_and_resize(image.proposal_boxes.tensor, side) for image in seen]
        chosen = logits[torch.arange(len(logits), device=logits.device), classes]
        errors = F.binary_cross_entropy_with_logits(chosen, torch.cat(truths).to(chosen), reduction="none").mean((1, 2))
        share = _shares([len(image) for image in instances], errors)
        return {"loss_mask": (errors * share).sum() * self.loss_weight}


def _shares(counts: list[int], like: Tensor) -> Tensor:
    """The weight of each region, so that a sum is the mean over images of the means over their regions."""
    shares = [1 / (max(count, 1) * len(counts)) for count in counts]
    return torch.tensor(shares, device=like.device).repeat_interleave(torch.tensor(counts, device=like.device))


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
