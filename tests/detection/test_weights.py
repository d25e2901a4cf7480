"""Pretrained weights really arrive in detectron2: the features are timm's."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from detectron2.config import instantiate
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from crossmae.backbone import Backbone, BackboneSpec, resize_patch_kernel, resize_pos_embed
from crossmae.errors import UserError
from crossmae.recipe import load_recipe
from detection.build.dims import Dims
from detection.build.model import model_config
from detection.model import PlainViT
from detection.recipe import RECIPES, read_recipe
from detection.weights import load_backbone

SIZE: dict[str, Any] = {"embed_dim": 32, "depth": 2, "num_heads": 2}


def make_backbone(
    patch: int = 16, grid: int = 4, class_token: bool = True, registers: int = 0, layer_scale: bool = False
) -> Backbone:
    torch.manual_seed(0)
    model = VisionTransformer(
        img_size=grid * patch,
        patch_size=patch,
        class_token=class_token,
        reg_tokens=registers,
        init_values=0.5 if layer_scale else None,
        global_pool="token" if class_token else "avg",
        fc_norm=False,
        num_classes=0,
        **SIZE,
    )
    weights = {name: torch.randn_like(weight) * 0.2 for name, weight in model.state_dict().items()}
    spec = BackboneSpec(
        arch=None,
        patch_size=patch,
        image_size=grid * patch,
        mlp_ratio=4.0,
        class_token=class_token,
        num_registers=registers,
        final_norm=True,
        layer_scale=layer_scale,
        source="test",
        **SIZE,
    )
    return Backbone(weights, spec)


def timm_features(backbone: Backbone, images: Tensor, patch: int = 16) -> Tensor:
    """Returns the map (N, C, H, W) of timm's ViT without class token, before the final norm, at the images' size."""
    weights = backbone.state_dict()
    grid = images.shape[-1] // patch
    position = weights["pos_embed"][:, backbone.spec.num_prefix :]
    weights["pos_embed"] = resize_pos_embed(position, (grid, grid), 0)
    weights["patch_embed.proj.weight"] = resize_patch_kernel(weights["patch_embed.proj.weight"], patch)
    model = VisionTransformer(
        img_size=images.shape[-1],
        patch_size=patch,
        class_token=False,
        global_pool="avg",
        fc_norm=False,
        init_values=1.0 if backbone.spec.layer_scale else None,
        num_classes=0,
        **SIZE,
    )
    model.load_state_dict({name: weights[name] for name in model.state_dict()})
    model.norm = torch.nn.Identity()
    tokens = model.eval().forward_features(images)
    return tokens.transpose(1, 2).unflatten(2, (grid, grid))


def detectron2_vit(backbone: Backbone, relative_positions: bool = False) -> PlainViT:
    return PlainViT(
        img_size=64,
        patch_size=16,
        norm_layer=lambda dim: torch.nn.LayerNorm(dim, eps=1e-6),
        use_rel_pos=relative_positions,
        pretrain_img_size=backbone.spec.grid * 16,
        pretrain_use_cls_token=backbone.spec.class_token,
        **SIZE,
    ).eval()


@pytest.mark.parametrize("side", [64, 96, 48], ids=["pretraining size", "larger", "smaller"])
@pytest.mark.parametrize(
    "kind",
    [
        {},
        {"class_token": False},
        {"registers": 3, "layer_scale": True},
        {"patch": 14, "grid": 5},
    ],
    ids=["class token", "no class token", "registers and LayerScale", "patch 14"],
)
def test_features_equal_timms(kind: dict[str, Any], side: int) -> None:
    backbone = make_backbone(**kind)
    vit = detectron2_vit(backbone)
    load_backbone(vit, backbone)
    images = torch.randn(2, 3, side, side)
    with torch.no_grad():
        ours, theirs = vit(images)["last_feat"], timm_features(backbone, images)
    assert theirs.std() > 0.5
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("activation", ["gelu", "gelu_tanh", "quick_gelu"])
def test_activation_epsilon_and_normalisation_are_the_backbones(activation: Any) -> None:
    plain = make_backbone(patch=8, class_token=False)
    spec = replace(plain.spec, activation=activation, norm_eps=0.1, mean=(0.5, 0.4, 0.3), std=(0.5, 0.2, 0.1))
    backbone = Backbone(plain.state_dict(), spec)
    protocol = replace(read_recipe(load_recipe(RECIPES, "coco_vitdet_demo")).protocol, window_size=0)
    config = model_config(protocol, Dims.of(spec), relative_positions=False)
    assert config.pixel_mean == [127.5, 102.0, 76.5]
    assert config.pixel_std == [127.5, 51.0, 25.5]
    vit = instantiate(config.backbone.net).eval()
    load_backbone(vit, backbone)
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        theirs = backbone.to_timm(0).eval()
        theirs.norm = torch.nn.Identity()
        expected = theirs.forward_features(images).transpose(1, 2).unflatten(2, (4, 4))
        torch.testing.assert_close(vit(images)["last_feat"], expected, atol=1e-5, rtol=1e-5)


def test_what_is_passed_over_is_named() -> None:
    backbone = make_backbone(registers=2)
    loaded = load_backbone(detectron2_vit(backbone, relative_positions=True), backbone)
    assert set(loaded.not_used) == {"cls_token", "reg_token", "norm.weight", "norm.bias"}
    assert loaded.starting_at_zero == tuple(f"blocks.{i}.attn.rel_pos_{axis}" for i in (0, 1) for axis in "hw")


def test_any_other_key_is_an_error_that_names_it() -> None:
    good = make_backbone()
    weights = good.state_dict()
    weights["blocks.0.attn.q_norm.weight"] = torch.ones(16)
    weights["blocks.1.mlp.fc1.weight"] = torch.ones(3, 3)
    del weights["blocks.1.attn.qkv.bias"]
    with pytest.raises(UserError) as error:
        load_backbone(detectron2_vit(good), Backbone(weights, good.spec))
    assert "weights without a place: blocks.0.attn.q_norm.weight" in str(error.value)
    assert "weights missing: blocks.1.attn.qkv.bias" in str(error.value)
    assert "shapes: blocks.1.mlp.fc1.weight (3, 3) for (128, 32)" in str(error.value)
    assert "\n" not in str(error.value)
