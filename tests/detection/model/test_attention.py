"""Fused attention and activation checkpointing change nothing but speed and memory."""

import pytest
import torch
from detectron2.modeling import ViT
from torch import Tensor, nn

from detection.model.vit import PlainViT

OPTIONS = {"img_size": 64, "patch_size": 8, "embed_dim": 32, "depth": 3, "num_heads": 2, "pretrain_img_size": 64}


def run(model: nn.Module, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
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
