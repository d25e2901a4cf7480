"""The backbone's weights arrive in mmsegmentation: same features as timm's, and nothing lost on the way."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from mmengine.logging import MessageHub
from mmengine.registry import init_default_scope
from mmseg.models.backbones.mae import MAE
from mmseg.registry import MODELS
from torch import Tensor, nn

from crossmae.backbone import Backbone, BackboneSpec
from crossmae.errors import UserError
from crossmae.recipe import load_recipe
from segmentation.build.config import upernet
from segmentation.recipe import RECIPES, read_recipe
from segmentation.weights import check_names, load_backbone
from tests.support.vit_files import FILES

PROTOCOL = read_recipe(load_recipe(RECIPES, "ade20k_upernet_demo")).protocol

# Small ViTs of every kind that a checkpoint can be.
KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "layer scale": {"init_values": 0.5},
    "no class token": {"class_token": False, "global_pool": "avg", "fc_norm": False},
    "registers": {"reg_tokens": 4, "init_values": 0.5},
    "patch 14": {"patch_size": 14, "img_size": 112},
}


def backbone_of(kind: str) -> Backbone:
    """A ViT whose every weight, biases and tokens included, is drawn at random."""
    options: dict[str, Any] = {
        "img_size": 64,
        "patch_size": 8,
        "embed_dim": 64,
        "depth": 4,
        "num_heads": 2,
        "num_classes": 0,
    }
    options |= KINDS[kind]
    torch.manual_seed(0)
    model = timm.models.VisionTransformer(**options)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.1 if parameter.ndim > 1 else 0.3)
    spec = BackboneSpec(
        arch=None,
        embed_dim=64,
        depth=4,
        num_heads=2,
        patch_size=options["patch_size"],
        image_size=options["img_size"],
        mlp_ratio=4.0,
        class_token=options.get("class_token", True),
        num_registers=options.get("reg_tokens", 0),
        final_norm=True,
        layer_scale="init_values" in options,
        source="test",
    )
    return Backbone(model.state_dict(), spec)


def build(backbone: Backbone, crop: int, patch_size: int = 8) -> MAE:
    protocol = replace(PROTOCOL, crop=crop, patch_size=patch_size)
    init_default_scope("mmseg")
    module: MAE = MODELS.build(upernet(protocol, backbone.spec, Path()).model.backbone)
    module.init_weights()
    load_backbone(module, backbone)
    module.eval()  # returns nothing in mmsegmentation
    return module


def timm_features(backbone: Backbone, crop: int, images: Tensor) -> list[Tensor]:
    model = backbone.to_timm(0, image_size=crop, global_pool="avg", expected_missing=("fc_norm.weight", "fc_norm.bias"))
    features: list[Tensor] = model.eval().forward_intermediates(images, norm=False, intermediates_only=True)
    return features


@pytest.mark.parametrize("crop", [64, 96], ids=["pretraining size", "another size"])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "patch 14"])
def test_features_equal_timm(kind: str, crop: int) -> None:
    backbone = backbone_of(kind)
    images = torch.randn(2, 3, crop, crop)
    with torch.no_grad():
        ours, theirs = build(backbone, crop)(images), timm_features(backbone, crop, images)
    assert len(ours) == len(theirs) == 4
    for our, their in zip(ours, theirs, strict=True):
        assert their.std() > 0.1
        torch.testing.assert_close(our, their, atol=1e-4, rtol=0)


def test_features_equal_timm_with_patch_14_as_16() -> None:
    """Patch kernels go from 14 to 16 pixels, so that the grid stays what it was."""
    backbone = backbone_of("patch 14")
    module = build(backbone, 128, patch_size=16)
    kernel = module.patch_embed.projection.weight
    resized = replace(backbone.spec, patch_size=16, image_size=128)
    same = Backbone({**backbone.state_dict(), "patch_embed.proj.weight": kernel.detach()}, resized)
    images = torch.randn(2, 3, 128, 128)
    with torch.no_grad():
        for our, their in zip(module(images), timm_features(same, 128, images), strict=True):
            torch.testing.assert_close(our, their, atol=1e-4, rtol=0)


@pytest.mark.parametrize("activation", ["gelu_tanh", "quick_gelu"])
def test_activation_epsilon_and_normalisation_are_the_backbones(activation: Any) -> None:
    plain = backbone_of("plain")
    spec = replace(plain.spec, activation=activation, norm_eps=0.1, mean=(0.5, 0.4, 0.3), std=(0.5, 0.2, 0.1))
    backbone = Backbone(plain.state_dict(), spec)
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        for our, their in zip(build(backbone, 64)(images), timm_features(backbone, 64, images), strict=True):
            torch.testing.assert_close(our, their, atol=1e-4, rtol=0)
    model = upernet(PROTOCOL, spec, Path()).model
    assert model.data_preprocessor.mean == [127.5, 102.0, 76.5]
    assert model.data_preprocessor.std == [127.5, 51.0, 25.5]


def test_relative_positions_start_at_zero() -> None:
    module = build(backbone_of("plain"), 64)
    tables = [p for name, p in module.named_parameters() if name.endswith("relative_position_bias_table")]
    assert len(tables) == 4
    assert all((table == 0).all() for table in tables)


def test_a_lost_weight_is_an_error_that_names_it() -> None:
    whole = backbone_of("plain")
    weights = whole.state_dict()
    del weights["blocks.2.mlp.fc1.bias"]
    with pytest.raises(UserError, match=r"no weight for layers\.2\.ffn\.layers\.0\.0\.bias$"):
        build(Backbone(weights, whole.spec), 64)


def test_a_superfluous_weight_is_an_error_that_names_it() -> None:
    whole = backbone_of("plain")
    weights = {**whole.state_dict(), "blocks.0.attn.q_norm.weight": torch.ones(32)}
    with pytest.raises(UserError, match=r"no place for layers\.0\.attn\.q_norm\.weight$"):
        build(Backbone(weights, whole.spec), 64)


def test_layer_scale_must_arrive_where_the_backbone_has_it() -> None:
    whole = backbone_of("layer scale")
    weights = whole.state_dict()
    del weights["blocks.1.ls2.gamma"]
    with pytest.raises(UserError, match=r"no weight for layers\.1\.gamma_2$"):
        build(Backbone(weights, whole.spec), 64)


def test_long_lists_are_cut() -> None:
    with pytest.raises(UserError, match=r"w7 and 4 more$"):
        check_names({"a"}, {"a", *(f"w{i}" for i in range(8)), "x1", "x2", "x3", "x4"}, "never")


def test_a_checkpoint_with_mmengines_log_buffers_is_read_and_they_are_not(tmp_path: Path) -> None:
    hub = MessageHub("run")
    hub.update_scalar("train/loss", 1.0)
    FILES["mmpretrain, mmsegmentation"](tmp_path)
    content = torch.load(tmp_path / "w.pth", weights_only=True)
    torch.save({**content, "message_hub": hub.state_dict()}, tmp_path / "w.pth")
    backbone = Backbone.load(f"{tmp_path / 'w.pth'}?heads=4")
    assert backbone.spec.pretraining["file"]["layout"] == "mmpretrain"
