"""Losses of a batch are means over images of what detectron2's heads say of each image alone."""

import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.modeling.roi_heads import FastRCNNOutputLayers, MaskRCNNConvUpsampleHead
from detectron2.structures import BitMasks, Boxes, Instances
from detectron2.utils.events import EventStorage
from torch import Tensor

from detection.model.heads import PerImageBoxPredictor, PerImageMaskHead

CLASSES = 4
COUNTS = (16, 9, 12, 0)
"""Regions of each image; those of the third are all background."""


def boxes(count: int) -> Boxes:
    corners = 40 * torch.rand(count, 2)
    return Boxes(torch.cat([corners, corners + 4 + 20 * torch.rand(count, 2)], dim=1))


def image(count: int, empty: bool) -> Instances:
    found = Instances((64, 64), proposal_boxes=boxes(count))
    found.gt_classes = torch.full((count,), CLASSES) if empty else torch.randint(CLASSES + 1, (count,))
    if not empty:
        found.gt_boxes, found.gt_masks = boxes(count), BitMasks(torch.rand(count, 64, 64) > 0.5)
    return found


def images() -> list[Instances]:
    torch.manual_seed(0)
    return [image(count, empty=index == 2) for index, count in enumerate(COUNTS)]


def mean(losses: list[Tensor]) -> Tensor:
    return torch.stack(losses).mean()


def test_box_losses_are_averaged_within_each_image() -> None:
    options = {"box2box_transform": Box2BoxTransform((10, 10, 5, 5)), "num_classes": CLASSES}
    ours = PerImageBoxPredictor(ShapeSpec(channels=8), **options)
    theirs = FastRCNNOutputLayers(ShapeSpec(channels=8), **options)
    given = images()[:3]
    scores, deltas = torch.randn(37, CLASSES + 1), torch.randn(37, 4 * CLASSES)
    found = ours.losses((scores, deltas), given)
    with EventStorage():
        parts = zip(scores.split(COUNTS[:3]), deltas.split(COUNTS[:3]), given, strict=True)
        alone = [theirs.losses((score, delta), [one]) for score, delta, one in parts]
    for name in ("loss_cls", "loss_box_reg"):
        torch.testing.assert_close(found[name], mean([losses[name] for losses in alone]))


def test_mask_loss_is_averaged_within_each_image() -> None:
    ours = PerImageMaskHead(ShapeSpec(channels=8, width=8, height=8), num_classes=CLASSES, conv_dims=[8, 8, 8])
    foreground = [one[one.gt_classes < CLASSES] for one in images()]
    counts = [len(one) for one in foreground]
    assert counts[2:] == [0, 0]
    x = torch.randn(sum(counts), 8, 8, 8)
    theirs = MaskRCNNConvUpsampleHead(
        ShapeSpec(channels=8, width=8, height=8), num_classes=CLASSES, conv_dims=[8, 8, 8]
    )
    theirs.load_state_dict(ours.state_dict())
    with EventStorage():
        alone = [
            theirs(part, [one])["loss_mask"] for part, one in zip(x.split(counts), foreground, strict=True) if len(one)
        ]
    torch.testing.assert_close(ours(x, foreground)["loss_mask"], torch.stack(alone).sum() / len(foreground))
    nothing = ours(x[:0], foreground[2:])["loss_mask"]
    nothing.backward()
    assert nothing == 0
