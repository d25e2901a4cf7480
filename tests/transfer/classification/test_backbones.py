"""Every kind of plain ViT can be fine-tuned and probed, and its weights arrive; other kinds are refused by name."""

import re
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from timm.layers import SwiGLU, SwiGLUPacked
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from crossmae.backbone import Backbone, BackboneSpec
from crossmae.data.keyed import SampleKey
from crossmae.errors import UserError
from crossmae.recipe import Recipe
from crossmae.train.workload import Workload
from crossmae.weights.options import OTHERWISE
from tests.support.labelled_images import save_image
from transfer.classification.job import make_job
from transfer.datasets.layouts import READERS
from transfer.task import Context

SIZE: dict[str, Any] = {"embed_dim": 64, "depth": 2, "num_heads": 2}
KINDS: dict[str, dict[str, Any]] = {
    "plain": {"img_size": 64, "patch_size": 16},
    "patch 14": {"img_size": 56, "patch_size": 14},
    "LayerScale": {"img_size": 64, "patch_size": 16, "init_values": 0.5},
    "tanh GELU": {"img_size": 64, "patch_size": 16, "act_layer": "gelu_tanh"},
    "QuickGELU": {"img_size": 64, "patch_size": 16, "act_layer": "quick_gelu"},
    "epsilon": {"img_size": 64, "patch_size": 16, "norm_layer": partial(nn.LayerNorm, eps=0.1)},
    "no class token": {"img_size": 64, "patch_size": 16, "class_token": False},
    "registers": {"img_size": 56, "patch_size": 14, "reg_tokens": 4, "init_values": 0.5},
}


def vit(**options: Any) -> VisionTransformer:
    """timm's, with every weight, biases and tokens included, drawn at random."""
    torch.manual_seed(0)
    options = {"norm_layer": partial(nn.LayerNorm, eps=1e-6), **options}
    model = VisionTransformer(**SIZE, num_classes=0, global_pool="", **options)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.1 if parameter.ndim > 1 else 0.3)
    return model.eval()


def backbone_of(model: VisionTransformer, kind: dict[str, Any]) -> Backbone:
    spec = BackboneSpec(
        arch=None,
        patch_size=kind["patch_size"],
        image_size=kind["img_size"],
        mlp_ratio=4.0,
        class_token=kind.get("class_token", True),
        num_registers=kind.get("reg_tokens", 0),
        final_norm=True,
        layer_scale="init_values" in kind,
        source="test",
        activation=kind.get("act_layer", "gelu"),
        norm_eps=kind["norm_layer"].keywords["eps"] if "norm_layer" in kind else 1e-6,
        **SIZE,
    )
    return Backbone(model.state_dict(), spec)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for split in ("train", "val"):
        for label in ("a", "b"):
            save_image(tmp_path / split / label / "1.png")
    return tmp_path


def model_of(backbone: Backbone, root: Path, **protocol: Any) -> Any:
    return workload_of(backbone, root, **protocol).model().eval()


def workload_of(backbone: Backbone, root: Path, **protocol: Any) -> Workload:
    values = {"global_batch": 2, "base_lr": 0.1, "steps": 1, "image_size": backbone.spec.image_size, **protocol}
    train, val = READERS["imagenet"]().read_both(root)
    recipe = Recipe("a_recipe", "a test", (), values, {"per_device_batch": 2, "device": "cpu"})
    return make_job(backbone, recipe, train, val, Context(root, root, seed=0)).workload


@pytest.mark.parametrize("kind", KINDS)
def test_features_are_those_of_the_model_that_the_weights_came_from(kind: str, root: Path) -> None:
    original = vit(**KINDS[kind])
    backbone = backbone_of(original, KINDS[kind])
    images = torch.randn(2, 3, backbone.spec.image_size, backbone.spec.image_size)
    pooling = "token" if backbone.spec.class_token else "avg"
    with torch.no_grad():
        probe = model_of(backbone, root, method="linear", pooling=pooling)
        features = original.forward_features(images)
        torch.testing.assert_close(probe.vit.forward_features(images), features, atol=1e-4, rtol=0)
        # The averaged tokens are the patches' alone; the class token is the first of those before them.
        assert set(probe.heads) == ({"token", "avg"} if backbone.spec.class_token else {"avg"})
        average = features[:, backbone.spec.num_prefix :].mean(1)
        torch.testing.assert_close(probe(images)[-1], probe.heads["avg"](average), atol=1e-4, rtol=0)
        classifier = model_of(backbone, root, method="finetune")
        original.norm = nn.Identity()
        torch.testing.assert_close(
            classifier.forward_features(images), original.forward_features(images), atol=1e-4, rtol=0
        )


def test_images_are_normalised_as_the_backbone_wants_them(root: Path) -> None:
    plain = backbone_of(vit(**KINDS["plain"]), KINDS["plain"])
    mean, std = (0.5, 0.4, 0.3), (0.5, 0.2, 0.1)
    other = Backbone(plain.state_dict(), replace(plain.spec, mean=mean, std=std))
    pixels = []
    for backbone in (plain, other):
        workload = workload_of(
            backbone, root, method="finetune", augmentation={"random_erasing": 0.0, "rand_augment": None}
        )
        ((image,), _) = workload.prepare(workload.collate([workload.dataset()[SampleKey(0, 1)]]))
        scale, shift = (torch.tensor(values)[:, None, None] for values in (backbone.spec.std, backbone.spec.mean))
        pixels.append(image * scale + shift)
        assert image.std() > 0.1
    torch.testing.assert_close(*pixels, atol=1e-6, rtol=0)


@pytest.mark.parametrize("layer", [SwiGLU, SwiGLUPacked])
def test_gated_mlps_are_refused_before_anything_starts(layer: type[nn.Module], tmp_path: Path) -> None:
    path = tmp_path / "gated.pth"
    torch.save(vit(img_size=64, patch_size=16, mlp_layer=layer).state_dict(), path)
    said = re.escape(f"{path} has gated MLPs (SwiGLU), so it is no plain vision transformer; {OTHERWISE}")
    with pytest.raises(UserError, match=f"^timm:vit_small_patch16_224@{said}$"):
        Backbone.load(f"timm:vit_small_patch16_224@{path}")
