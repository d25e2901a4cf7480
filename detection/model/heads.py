"""Losses and random choices of Mask R-CNN made image by image.

Upstream trains 64 images on 64 GPUs, so that every loss is a mean over images of a mean within the image. detectron2's
heads average over all regions of a device instead, which is another loss as soon as a device holds several images.
Made image by image, the loss is upstream's on any number of devices and for any micro-batch; and with random choices
keyed by image, so is every sampled anchor and region.
"""

from typing import Any

import torch
from detectron2.modeling import GeneralizedRCNN
from detectron2.modeling.proposal_generator import RPN
from detectron2.modeling.roi_heads import FastRCNNOutputLayers, MaskRCNNConvUpsampleHead, StandardROIHeads
from detectron2.modeling.roi_heads.mask_head import mask_rcnn_loss
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
        """As ``FastRCNNOutputLayers.losses``."""
        counts = [len(image) for image in proposals]
        scores, deltas = (prediction.split(counts) for prediction in predictions)
        images = [super(PerImageBoxPredictor, self).losses(*image) for image in _each(scores, deltas, proposals)]
        return {name: torch.stack([losses[name] for losses in images]).mean() for name in images[0]}


class PerImageMaskHead(MaskRCNNConvUpsampleHead):
    """Mask head whose loss is averaged within each image, then over images (0 for one without a foreground region)."""

    def forward(self, x: Tensor, instances: list[Instances]) -> Any:
        """As ``BaseMaskRCNNHead.forward``."""
        if not self.training:
            return super().forward(x, instances)
        logits = self.layers(x).split([len(image) for image in instances])
        losses = [mask_rcnn_loss(image, [found]) for image, found in zip(logits, instances, strict=True)]
        return {"loss_mask": torch.stack(losses).mean() * self.loss_weight}


def _each(scores: Any, deltas: Any, proposals: list[Instances]) -> Any:
    return [((s, d), [p]) for s, d, p in zip(scores, deltas, proposals, strict=True)]


def _seed_next(seeds: list[int]) -> None:
    # torch.manual_seed walks the call stack, at a hundred times the cost.
    if seeds:
        torch.default_generator.manual_seed(seeds[0])
    if seeds and torch.cuda.is_initialized():
        torch.cuda.manual_seed(seeds[0])
    del seeds[:1]
