"""Backbones: what they say of themselves, and how they become timm models."""

import json
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from crossmae import Backbone, MaskedAutoencoder, UserError
from crossmae.backbone import resize_patch_kernel, resize_pos_embed
from crossmae.model.presets import preset_config
from crossmae.weights.checkpoint import save_checkpoint

IMAGES = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
NORM = ("norm.weight", "norm.bias")


@pytest.fixture
def crossmae_folder(tmp_path: Path) -> Path:
    save_checkpoint(MaskedAutoencoder(preset_config("vit_demo")), tmp_path / "checkpoint", {"recipe": "demo"})
    return tmp_path / "checkpoint"


def test_random_backbones_are_decided_by_their_seed() -> None:
    first, again, other = (Backbone.load("random:vit_demo", seed=seed) for seed in (1, 1, 2))
    assert first.digest == again.digest != other.digest
    assert first.spec.missing == ()


def test_loading_a_random_backbone_leaves_the_generator_alone() -> None:
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    Backbone.load("random:vit_demo", seed=5)
    assert torch.equal(torch.rand(1), expected)


def test_a_crossmae_checkpoint_says_what_it_is_and_what_it_lacks(crossmae_folder: Path) -> None:
    spec = Backbone.load(crossmae_folder).spec
    assert (spec.arch, spec.embed_dim, spec.depth, spec.num_heads) == ("vit_demo", 128, 4, 2)
    assert (spec.patch_size, spec.image_size, spec.grid) == (8, 64, 8)
    assert not spec.final_norm
    assert spec.missing == NORM
    assert spec.pretraining["recipe"] == "demo"
    assert spec.pretraining["method"] == "CrossMAE"


def test_a_saved_backbone_comes_back_as_it_was(crossmae_folder: Path, tmp_path: Path) -> None:
    backbone = Backbone.load(crossmae_folder)
    backbone.save(tmp_path / "saved")
    loaded = Backbone.load(tmp_path / "saved")
    assert loaded.spec == backbone.spec
    assert loaded.digest == backbone.digest


def test_a_missing_norm_must_be_expected(crossmae_folder: Path) -> None:
    backbone = Backbone.load(crossmae_folder)
    with pytest.raises(UserError, match=r"norm\.bias, norm\.weight"):
        backbone.to_timm(5, global_pool="token")
    model = backbone.to_timm(5, global_pool="token", expected_missing=NORM)
    assert model(IMAGES).shape == (2, 5)


def test_average_pooling_has_a_norm_of_its_own(crossmae_folder: Path) -> None:
    model = Backbone.load(crossmae_folder).to_timm(5, drop_path=0.1)
    assert model(IMAGES).shape == (2, 5)
    assert torch.equal(model.fc_norm.weight, torch.ones(128))


def test_features_in_timm_are_ours(crossmae_folder: Path) -> None:
    from crossmae import load_pretrained

    ours = load_pretrained(crossmae_folder)
    timm_model = Backbone.load(crossmae_folder).to_timm(0).eval()
    expected = ours.encoder(IMAGES, torch.arange(64).expand(2, -1))[-1]
    torch.testing.assert_close(timm_model.forward_features(IMAGES), expected, atol=1e-5, rtol=0)


def test_another_image_size_resizes_positions_by_the_one_rule() -> None:
    backbone = Backbone.load("random:vit_demo")
    model = backbone.to_timm(3, image_size=96)
    expected = resize_pos_embed(backbone.state_dict()["pos_embed"], 12)
    assert torch.equal(model.pos_embed, expected)
    assert model(torch.zeros(1, 3, 96, 96)).shape == (1, 3)


def test_positions_are_resized_without_antialiasing_and_the_prefix_stays() -> None:
    positions = torch.randn(1, 2 + 14 * 14, 8)
    smaller = resize_pos_embed(positions, (7, 10), num_prefix=2)
    image = positions[:, 2:].reshape(1, 14, 14, 8).permute(0, 3, 1, 2)
    expected = F.interpolate(image, size=(7, 10), mode="bicubic", align_corners=False)
    assert torch.equal(smaller[:, :2], positions[:, :2])
    torch.testing.assert_close(smaller[:, 2:].reshape(1, 7, 10, 8), expected.permute(0, 2, 3, 1))
    antialiased = F.interpolate(image, size=(7, 10), mode="bicubic", align_corners=False, antialias=True)
    assert (expected - antialiased).abs().max() > 0.1
    assert torch.equal(resize_pos_embed(positions, 14, num_prefix=2), positions)


def test_patch_kernels_change_size() -> None:
    kernel = torch.ones(4, 3, 14, 14)
    torch.testing.assert_close(resize_patch_kernel(kernel, 16), torch.ones(4, 3, 16, 16))


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("runs/nothing", "give a checkpoint folder"),
        ("random:vit_x", "vit_demo"),
        ("timm:vit_x", "timm knows no model"),
    ],
)
def test_an_impossible_source_is_one_line(source: str, says: str) -> None:
    with pytest.raises(UserError, match=says) as refused:
        Backbone.load(source)
    assert "\n" not in str(refused.value)


def test_a_checkpoint_cut_short_is_one_line(crossmae_folder: Path) -> None:
    weights = crossmae_folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    with pytest.raises(UserError, match="not a complete"):
        Backbone.load(crossmae_folder)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"embed_dim": "128"}, "backbone.embed_dim is '128'"),
        ({"num_heads": 0}, "backbone.num_heads is 0"),
        ({"width": 1}, "unknown backbone.width"),
        ({"missing": None}, "backbone.missing is None"),
    ],
)
def test_a_foreign_specification_is_one_line(
    change: dict[str, object], says: str, crossmae_folder: Path, tmp_path: Path
) -> None:
    Backbone.load(crossmae_folder).save(tmp_path / "saved")
    config = tmp_path / "saved" / "config.json"
    content = json.loads(config.read_text())
    config.write_text(json.dumps(content | {"backbone": content["backbone"] | change}))
    with pytest.raises(UserError, match=says) as refused:
        Backbone.load(tmp_path / "saved")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("content", ["", "[]", '{"format": "crossmae.autoencoder"}', "{"])
def test_a_damaged_configuration_is_one_line(content: str, crossmae_folder: Path) -> None:
    (crossmae_folder / "config.json").write_text(content)
    with pytest.raises(UserError, match=r"config\.json") as refused:
        Backbone.load(crossmae_folder)
    assert "\n" not in str(refused.value)
