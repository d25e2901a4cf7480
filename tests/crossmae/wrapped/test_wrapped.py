"""Backbones that are no plain ViTs: their features are timm's own, and training reaches every parameter."""

from dataclasses import replace
from pathlib import Path

import pytest
import timm
import torch
from torch import nn

from crossmae.backbone import Backbone, WrappedSpec
from crossmae.errors import UserError
from crossmae.weights.options import SourceOptions
from crossmae.wrapped.describe import describe_model
from crossmae.wrapped.layers import decayed_groups, layer_ids
from tests.support.families import FAMILIES, backbone_of, model_of

VITS = [family for family in FAMILIES if family not in ("Hiera", "ConvNeXt")]


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_features_are_timms(family: str) -> None:
    model, backbone = model_of(family), backbone_of(family)
    about = backbone.about
    side = about.image_size
    images = torch.randn(2, 3, side, side)
    features = backbone.features().eval()
    out = features(images)
    torch.testing.assert_close(out.pooled, model(images))
    shapes = [(c, side // s, side // s) for c, s in zip(features.channels, features.strides, strict=True)]
    assert [tuple(tap.shape[1:]) for tap in out.maps] == shapes
    assert out.prefix.shape == (2, about.num_prefix, about.embed_dim)
    if family in VITS:
        tokens = torch.cat([out.prefix, out.maps[-1].flatten(2).mT], dim=1)
        expected = model.forward_features(images)
        if not isinstance(model.norm, nn.Identity):
            torch.testing.assert_close(tokens, expected)
        torch.testing.assert_close(features.body.forward_features(images), tokens)
        raw, patches = features.tokens(images)
        torch.testing.assert_close(features.final_norm(torch.cat([raw, patches], dim=1)), tokens)


@pytest.mark.parametrize("family", FAMILIES)
def test_maps_of_larger_and_rectangular_images_train_every_parameter(family: str) -> None:
    backbone = backbone_of(family)
    multiple = backbone.about.patch_size
    height, width = (4 * multiple, 8 * multiple) if multiple < 32 else (128, 192)
    maps = backbone.maps((height, width), drop_path=0.1)
    taken = maps(torch.randn(1, 3, height, width))
    sum(tap.square().mean() for tap in taken).backward()
    assert [tuple(tap.shape[2:]) for tap in taken] == [(height // s, width // s) for s in maps.strides]
    assert len(taken) == 4
    assert [name for name, p in maps.named_parameters() if p.requires_grad and p.grad is None] == []


@pytest.mark.parametrize("family", ["RoPE (DINOv3)", "Hiera", "ConvNeXt"])
def test_layer_decay_follows_the_models_own_layers(family: str) -> None:
    maps = backbone_of(family).maps(backbone_of(family).about.image_size)
    head = nn.Linear(3, 3)
    groups = decayed_groups(nn.ModuleList([maps, head]), maps.trunk, 0.1, 0.5)
    assert sum(len(group["params"]) for group in groups) == len(list(maps.parameters())) + 2
    layers = max(layer_ids(maps.trunk).values()) + 1
    assert {group["lr_scale"] for group in groups} == {0.5**k for k in range(layers + 1)}
    of_head = [group for group in groups if any(p is head.weight for p in group["params"])]
    assert [(group["lr_scale"], group["weight_decay"]) for group in of_head] == [(1.0, 0.1)]
    for group in groups:
        assert all(p.ndim > 1 for p in group["params"]) or group["weight_decay"] == 0.0


def test_a_larger_patch_keeps_the_response_to_smooth_images() -> None:
    family = "registers (DINOv2), patch 14"
    backbone = backbone_of(family)
    ramp = torch.linspace(-1, 1, 4 * 14).expand(1, 3, 56, 56)
    larger = torch.nn.functional.interpolate(ramp, size=(64, 64), mode="bicubic", align_corners=False)
    small = backbone.maps(56).trunk.patch_embed(ramp)
    large = backbone.maps(64, patch_size=16).trunk.patch_embed(larger)
    inner = [row * 4 + column for row in (1, 2) for column in (1, 2)]  # where the border of the image has no part
    torch.testing.assert_close(small[:, inner], large[:, inner], rtol=0.02, atol=0.02)


def test_patches_that_timm_does_not_resize_are_one_line() -> None:
    about = describe_model(
        "naflexvit_base_patch16_gap", {"embed_dim": 48, "depth": 1, "num_heads": 3}, "n", SourceOptions()
    )
    with pytest.raises(UserError, match="patches of 16 pixels that timm cannot resize; set patch_size to 16"):
        Backbone({}, about).maps(64, patch_size=8)


def test_saved_ones_are_read_again(tmp_path: Path) -> None:
    backbone = backbone_of("RoPE (DINOv3)")
    backbone.save(tmp_path)
    again = Backbone.load(tmp_path)
    assert again.about == backbone.about
    assert again.digest == backbone.digest


@pytest.mark.parametrize("name", ["test_convnext", "test_vit4"])
def test_a_file_with_timms_names_is_read_by_the_name_of_its_model(name: str, tmp_path: Path) -> None:
    model = timm.create_model(name, pretrained=False).eval()
    torch.save({"state_dict": {f"module.{n}": tensor for n, tensor in model.state_dict().items()}}, tmp_path / "w.pth")
    backbone = Backbone.load(f"timm:{name}@{tmp_path / 'w.pth'}")
    assert isinstance(backbone.about, WrappedSpec)
    assert backbone.about.mean == tuple(model.pretrained_cfg["mean"])
    model.reset_classifier(0)
    images = torch.randn(1, 3, backbone.about.image_size, backbone.about.image_size)
    with torch.no_grad():
        torch.testing.assert_close(backbone.features().eval()(images).pooled, model(images))


def test_what_does_not_fit_is_one_line(tmp_path: Path) -> None:
    name = "test_convnext"
    weights = timm.create_model(name, pretrained=False).state_dict()
    source = f"timm:{name}@{tmp_path / 'w.pth'}"
    torch.save({**weights, "stages.0.surplus": torch.zeros(1)}, tmp_path / "w.pth")
    with pytest.raises(UserError, match=r"without a place: stages.0.surplus"):
        Backbone.load(source)
    torch.save({"a": weights, "b": weights}, tmp_path / "w.pth")
    with pytest.raises(UserError, match=r"key=a or .*key=b"):
        Backbone.load(source)
    torch.save({"conv.weight": torch.zeros(3, 3)}, tmp_path / "w.pth")
    with pytest.raises(UserError, match="test_convnext"):
        Backbone.load(source)
    with pytest.raises(UserError, match="heads"):
        Backbone.load(f"{source}?heads=3")
    with pytest.raises(UserError, match="no plain vision transformer"):
        _ = backbone_of("ConvNeXt").spec


def test_a_specification_out_of_a_file_builds_timms_own_models_only(tmp_path: Path) -> None:
    backbone = backbone_of("ConvNeXt")
    about = backbone.about
    assert isinstance(about, WrappedSpec)
    for changed in (
        replace(about, model="hf-hub:somebody/model"),
        replace(about, options={"checkpoint_path": str(tmp_path / "x.pth")}),
        replace(about, options={"dims": [10_000, 20_000, 30_000, 40_000]}),
    ):
        with pytest.raises(UserError):
            Backbone(backbone.state_dict(), changed).maps(64)
