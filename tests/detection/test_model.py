"""What is ours in the network changes speed and memory only, but for the losses, which are means over images."""

from typing import Any

import pytest
import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling import ViT
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.modeling.roi_heads import FastRCNNOutputLayers, MaskRCNNConvUpsampleHead
from detectron2.structures import BitMasks, Boxes, Instances
from detectron2.utils.events import EventStorage
from torch import Tensor, nn

from detection.model import PerImageBoxPredictor, PerImageMaskHead, PlainViT

CLASSES = 4
COUNTS = (16, 9, 12, 0)
"""Regions of each image; those of the third are all background."""


def boxes(count: int) -> Boxes:
    corners = 40 * torch.rand(count, 2)
    return Boxes(torch.cat([corners, corners + 4 + 20 * torch.rand(count, 2)], dim=1))


def make_image(count: int, empty: bool) -> Instances:
    image = Instances((64, 64), proposal_boxes=boxes(count))
    image.gt_classes = torch.full((count,), CLASSES) if empty else torch.randint(CLASSES + 1, (count,))
    if not empty:
        image.gt_boxes, image.gt_masks = boxes(count), BitMasks(torch.rand(count, 64, 64) > 0.5)
    return image


def images() -> list[Instances]:
    torch.manual_seed(0)
    return [make_image(count, empty=index == 2) for index, count in enumerate(COUNTS)]


def mean(losses: list[Tensor]) -> Tensor:
    return torch.stack(losses).mean()


def test_box_losses_are_averaged_within_each_image() -> None:
    options = {"box2box_transform": Box2BoxTransform((10, 10, 5, 5)), "num_classes": CLASSES}
    ours = PerImageBoxPredictor(ShapeSpec(channels=8), **options)
    theirs = FastRCNNOutputLayers(ShapeSpec(channels=8), **options)
    given = images()[:3]
    scores, deltas = torch.randn(37, CLASSES + 1), torch.randn(37, 4 * CLASSES)
    losses_of_ours = ours.losses((scores, deltas), given)
    with EventStorage():
        parts = zip(scores.split(COUNTS[:3]), deltas.split(COUNTS[:3]), given, strict=True)
        alone = [theirs.losses((score, delta), [image]) for score, delta, image in parts]
    for name in ("loss_cls", "loss_box_reg"):
        torch.testing.assert_close(losses_of_ours[name], mean([losses[name] for losses in alone]))


def test_mask_loss_is_averaged_within_each_image() -> None:
    ours = PerImageMaskHead(ShapeSpec(channels=8, width=8, height=8), num_classes=CLASSES, conv_dims=[8, 8, 8])
    foreground = [image[image.gt_classes < CLASSES] for image in images()]
    counts = [len(image) for image in foreground]
    assert counts[2:] == [0, 0]
    x = torch.randn(sum(counts), 8, 8, 8)
    theirs = MaskRCNNConvUpsampleHead(
        ShapeSpec(channels=8, width=8, height=8), num_classes=CLASSES, conv_dims=[8, 8, 8]
    )
    theirs.load_state_dict(ours.state_dict())
    with EventStorage():
        alone = [
            theirs(part, [image])["loss_mask"]
            for part, image in zip(x.split(counts), foreground, strict=True)
            if len(image)
        ]
    torch.testing.assert_close(ours(x, foreground)["loss_mask"], torch.stack(alone).sum() / len(foreground))
    nothing = ours(x[:0], foreground[2:])["loss_mask"]
    nothing.backward()
    assert nothing == 0


OPTIONS: dict[str, Any] = {
    "img_size": 64,
    "patch_size": 8,
    "embed_dim": 32,
    "depth": 3,
    "num_heads": 2,
    "pretrain_img_size": 64,
}


def run(model: nn.Module, images: Tensor) -> tuple[Tensor, dict[str, Tensor | None]]:
    features = model(images)["last_feat"]
    (features * torch.linspace(-1, 1, features.numel()).view_as(features)).sum().backward()
    return features.detach(), {name: weight.grad for name, weight in model.named_parameters()}


@pytest.mark.parametrize("relative_positions", [False, True], ids=["absolute", "relative"])
@pytest.mark.parametrize("choice", ["fused_attention", "activation_checkpointing"])
def test_equals_detectron2_forward_and_backward(choice: str, relative_positions: bool) -> None:
    options = {**OPTIONS, "use_rel_pos": relative_positions, "window_size": 3, "window_block_indexes": [0, 2]}
    torch.manual_seed(0)
    stock = ViT(**options)
    for name, weight in stock.named_parameters():
        if "rel_pos" in name:
            nn.init.normal_(weight, std=0.5)
    ours = PlainViT(**options, **{choice: True})
    ours.load_state_dict(stock.state_dict())
    images = torch.randn(2, 3, 64, 64)
    expected, expected_gradients = run(stock, images)
    features, gradients = run(ours, images)
    torch.testing.assert_close(features, expected, atol=1e-5, rtol=1e-5)
    for name, gradient in expected_gradients.items():
        if gradient is not None:
            torch.testing.assert_close(gradients[name], gradient, atol=1e-3, rtol=1e-4, msg=name)
