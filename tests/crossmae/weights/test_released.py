"""Released files: options out of a Namespace, nothing run, nothing dropped in silence."""

import argparse
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from crossmae import Backbone, MAEConfig, MaskedAutoencoder, UserError, load_pretrained
from crossmae.model.presets import preset_config
from crossmae.weights.checkpoint import save_checkpoint
from crossmae.weights.export import export
from crossmae.weights.layouts.released import official_name, our_name, to_official

TINY = {"image_size": 32, "patch_size": 16, "embed_dim": 48, "depth": 2, "num_heads": 3}
TINY |= {"decoder_embed_dim": 32, "decoder_depth": 2, "decoder_num_heads": 4}
KINDS: dict[str, dict[str, Any]] = {
    "CrossMAE": {},
    "some maps": {"feature_maps": [-1], "use_input": True},
    "with self-attention": {"decoder": "cross+self", "prediction_ratio": 0.75},
    "without inter-block attention": {"feature_maps": "last"},
    "MAE": {"decoder": "self", "norm_pix_loss": False},
    "MAE with inter-block attention": {"decoder": "self", "feature_maps": "all"},
    "projected maps": {"map_projection": True},
}


def tiny(**options: Any) -> MaskedAutoencoder:
    return MaskedAutoencoder(MAEConfig.from_dict({**TINY, **options}))


def same(first: torch.nn.Module, second: torch.nn.Module) -> bool:
    ours, theirs = first.state_dict(), second.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
@pytest.mark.parametrize("kind", KINDS)
def test_ours_to_released_names_and_back_loses_nothing(kind: str, suffix: str, tmp_path: Path) -> None:
    model = tiny(**KINDS[kind])
    save_checkpoint(model, tmp_path / "ours")
    export(str(tmp_path / "ours"), tmp_path / f"released.{suffix}", "official")
    loaded = load_pretrained(tmp_path / f"released.{suffix}")
    assert loaded.config == model.config
    assert same(loaded, model)
    assert Backbone.load(tmp_path / f"released.{suffix}").digest == Backbone.load(tmp_path / "ours").digest


def test_names_are_the_released_ones() -> None:
    names = set(to_official(tiny().state_dict()))
    assert {"cls_token", "mask_token", "decoder_pos_embed", "wfm.linear.weight", "dec_norms.1.bias"} <= names
    assert {"blocks.0.attn.qkv.weight", "decoder_blocks.0.cross_attn.kv.bias", "decoder_pred.bias"} <= names
    assert not any(name.startswith(("norm.", "decoder_embed.", "encoder.", "decoder.")) for name in names)
    assert {"norm.weight", "decoder_embed.bias"} <= set(to_official(tiny(decoder="self").state_dict()))
    assert all(our_name(official_name(name)) == name for name in tiny().state_dict())


def released_file(path: Path, model: MaskedAutoencoder, arguments: dict[str, Any]) -> Path:
    content = {"model": to_official(model.state_dict()), "optimizer": {"state": {}}, "epoch": 799, "scaler": {}}
    torch.save(content | {"args": argparse.Namespace(**arguments)}, path)
    return path


def test_a_released_crossmae_file_needs_no_options(tmp_path: Path) -> None:
    model = MaskedAutoencoder(preset_config("vit_s16", depth=2, decoder_depth=1, image_size=32, prediction_ratio=0.5))
    path = released_file(
        tmp_path / "s16.pth",
        model,
        {
            "model": "mae_vit_small_patch16",
            "mask_ratio": 0.75,
            "kept_mask_ratio": 0.5,
            "norm_pix_loss": True,
            "cross_mae": True,
            "weight_fm": True,
            "use_fm": [-1],
            "use_input": True,
            "self_attn": False,
        },
    )
    loaded = load_pretrained(path)
    assert loaded.config == model.config
    assert same(loaded, model)
    spec = Backbone.load(path).spec
    assert (spec.num_heads, spec.pretraining["method"]) == (6, "CrossMAE")
    assert spec.missing == ("norm.weight", "norm.bias")


def test_a_released_mae_file_needs_no_options(tmp_path: Path) -> None:
    model = MaskedAutoencoder(preset_config("vit_s16", decoder="self", depth=2, decoder_depth=1, image_size=32))
    path = released_file(
        tmp_path / "mae.pth", model, {"model": "mae_vit_small_patch16", "mask_ratio": 0.75, "norm_pix_loss": True}
    )
    assert load_pretrained(path).config == model.config


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ({}, "num_heads"),
        ({"num_heads": 3, "decoder_num_heads": 4}, "mask_ratio, norm_pix_loss, prediction_ratio"),
        ({"num_heads": 3, "decoder_num_heads": 4, "mask_ratio": 0.75, "norm_pix_loss": True}, "prediction_ratio"),
    ],
)
def test_what_weights_cannot_tell_is_asked_for(given: dict[str, Any], asked: str, tmp_path: Path) -> None:
    path = tmp_path / "bare.pth"
    torch.save(to_official(tiny().state_dict()), path)
    with pytest.raises(UserError, match=asked) as refused:
        load_pretrained(path, **given)
    assert "\n" not in str(refused.value)


def test_a_number_of_maps_that_fits_several_choices_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "bare.pth"
    torch.save(to_official(tiny(use_input=False).state_dict()), path)
    options: dict[str, Any] = {
        "num_heads": 3,
        "decoder_num_heads": 4,
        "mask_ratio": 0.75,
        "prediction_ratio": 0.25,
    }
    with pytest.raises(UserError, match="feature_maps"):
        load_pretrained(path, norm_pix_loss=True, **options)
    with pytest.raises(UserError, match="do not make 2 maps"):
        load_pretrained(path, norm_pix_loss=True, feature_maps=[-1], use_input=False, **options)
    assert load_pretrained(path, norm_pix_loss=True, feature_maps="all", **options).config.use_input is False


def test_options_that_contradict_our_checkpoint_are_refused(tmp_path: Path) -> None:
    save_checkpoint(tiny(), tmp_path)
    with pytest.raises(UserError, match="num_heads=4 contradicts"):
        load_pretrained(tmp_path, num_heads=4)


def test_a_checkpoint_of_another_model_lists_what_did_not_fit(tmp_path: Path) -> None:
    weights = to_official(tiny().state_dict())
    del weights["blocks.1.norm1.bias"]
    weights["blocks.0.ls1.gamma"] = torch.ones(48)
    weights["mask_token"] = torch.zeros(1, 1, 30)
    path = tmp_path / "other.pth"
    torch.save({"model": weights}, path)
    with pytest.raises(UserError) as refused:
        load_pretrained(path, 3, 4, mask_ratio=0.75, prediction_ratio=0.25, norm_pix_loss=True)
    line = str(refused.value)
    assert "weights missing: encoder.blocks.1.norm1.bias" in line
    assert "weights without a place: encoder.blocks.0.ls1.gamma" in line
    assert "decoder.mask_token (1, 1, 30) for (1, 1, 32)" in line
    assert "\n" not in line
    torch.save({"model": {**to_official(tiny().state_dict()), "blocks.0.extra.weight": torch.zeros(2, 48)}}, path)
    with pytest.raises(UserError, match=r"extra\.weight"):
        Backbone.load(path, num_heads=3)


class Attack:
    """Creates a file when unpickled by the ordinary unpickler."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("form", ["torch", "pickle"])
def test_a_malicious_file_is_refused_and_nothing_runs(form: str, tmp_path: Path) -> None:
    path, mark = tmp_path / "evil.pth", tmp_path / "was-here"
    content = {"model": to_official(tiny().state_dict()), "args": Attack(mark)}
    if form == "torch":
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content))
    for load in (load_pretrained, Backbone.load):
        with pytest.raises(UserError, match="refused") as refused:
            load(path)
        assert "\n" not in str(refused.value)
    assert not mark.exists()


@pytest.mark.parametrize("content", [b"", b"not weights", b"PK\x03\x04" + bytes(500)])
def test_a_damaged_file_is_one_line(content: bytes, tmp_path: Path) -> None:
    for name in ("weights.pth", "weights.safetensors"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=name) as refused:
            load_pretrained(tmp_path / name)
        assert "\n" not in str(refused.value)
