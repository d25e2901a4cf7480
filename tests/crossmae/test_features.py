"""Features are those of timm's own model on the same weights."""

from dataclasses import replace
from typing import Any

import pytest
import timm
import torch
from torch import Tensor

from crossmae.backbone import Backbone
from crossmae.errors import UserError
from crossmae.weights.describe import describe
from crossmae.weights.options import SourceOptions

KINDS: dict[str, dict[str, Any]] = {
    "class token": {},
    "registers": {"reg_tokens": 3},
    "no class token": {"class_token": False, "global_pool": "avg", "fc_norm": False},
}


def model_and_backbone(kind: str) -> tuple[torch.nn.Module, Backbone]:
    """timm's model with random weights everywhere, and the backbone with the same."""
    torch.manual_seed(0)
    model = timm.create_model(
        "vit_tiny_patch16_224", num_classes=0, img_size=64, depth=5, embed_dim=24, num_heads=3, **KINDS[kind]
    ).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model, Backbone(*describe(model.state_dict(), "a test", SourceOptions(heads=3)))


@pytest.fixture
def images() -> Tensor:
    return torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_they_are_timms(kind: str, images: Tensor) -> None:
    model, backbone = model_and_backbone(kind)
    features = backbone.features().eval()
    out = features(images)
    tokens = model.forward_features(images)  # type: ignore[operator]
    count = backbone.spec.num_prefix
    torch.testing.assert_close(out.prefix, tokens[:, :count])
    torch.testing.assert_close(out.maps[-1].flatten(2).mT, tokens[:, count:])
    torch.testing.assert_close(out.pooled, model(images))
    assert features.pooling == ("avg" if kind == "no class token" else "token")
    taps = model.forward_intermediates(images, indices=[0, 1, 2, 4], norm=True, intermediates_only=True)  # type: ignore[operator]
    for ours, theirs in zip(out.maps, taps, strict=True):
        torch.testing.assert_close(ours, theirs)
    assert [tuple(tap.shape[1:]) for tap in out.maps] == [
        (c, 64 // s, 64 // s) for c, s in zip(features.channels, features.strides, strict=True)
    ]


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_raw_tokens_become_the_features_by_the_final_norm(kind: str, images: Tensor) -> None:
    model, backbone = model_and_backbone(kind)
    features = backbone.features().eval()
    prefix, patches = features.tokens(images)
    torch.testing.assert_close(model.norm(torch.cat([prefix, patches], dim=1)), model.forward_features(images))  # type: ignore[operator]
    raw = backbone.features(norm=False).eval()(images)
    torch.testing.assert_close(raw.prefix, prefix)
    torch.testing.assert_close(raw.maps[-1].flatten(2).mT, patches)


@torch.no_grad()
def test_a_backbone_without_final_norm_has_none_put_on(images: Tensor) -> None:
    """CrossMAE's: its features are the last block's."""
    _, whole = model_and_backbone("class token")
    weights = {name: value for name, value in whole.state_dict().items() if not name.startswith("norm.")}
    backbone = Backbone(weights, replace(whole.spec, final_norm=False, missing=("norm.weight", "norm.bias")))
    prefix, _ = whole.features().eval().tokens(images)
    torch.testing.assert_close(backbone.features().eval()(images).pooled, prefix[:, 0])
    with pytest.raises(UserError, match="no final norm"):
        backbone.features(norm=True)


def test_other_image_sizes_are_resized_or_refused() -> None:
    _, backbone = model_and_backbone("class token")
    assert backbone.features(96)(torch.zeros(1, 3, 96, 96)).maps[0].shape == (1, 24, 6, 6)
    with pytest.raises(UserError, match="96 or 112"):
        backbone.features(100)
