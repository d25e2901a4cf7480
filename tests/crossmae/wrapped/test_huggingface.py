"""Folders of transformers' models: names, normalisation, and what timm has no place for.

That features are the originals' is shown by ``tests/docs/test_sources.py``.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from timm.models._hub import save_config_for_hf

from crossmae.backbone import Backbone, BackboneSpec, WrappedSpec
from crossmae.errors import UserError
from tests.support.hf_folders import FOLDERS
from tests.support.vit_files import drawn


def changed(kind: str, folder: Path, config: dict[str, Any], weights: Callable[[dict[str, Any]], Any]) -> str:
    """The source of a folder with other values in its configuration and other weights."""
    FOLDERS[kind](folder)
    (folder / "config.json").write_text(json.dumps(json.loads((folder / "config.json").read_text()) | config))
    state = load_file(folder / "model.safetensors")
    weights(state)
    save_file(state, folder / "model.safetensors", {"format": "pt"})
    return f"hf:{folder}"


def test_names_in_memory_are_those_on_disk(tmp_path: Path) -> None:
    kind = "transformers DINOv3"

    def rename(state: dict[str, Any]) -> None:
        for name in [name for name in state if name.startswith("layer.")]:
            state[f"model.{name}"] = state.pop(name)

    renamed = Backbone.load(changed(kind, tmp_path / "memory", {}, rename))
    assert renamed.digest == Backbone.load(changed(kind, tmp_path / "disk", {}, dict)).digest


def test_normalisation_and_resizing_are_the_folders_or_assumed_and_recorded(tmp_path: Path) -> None:
    source = changed("transformers SigLIP", tmp_path, {}, dict)
    about = Backbone.load(source).about
    assert about.pretraining["assumed"] == {"mean": (0.5,) * 3, "std": (0.5,) * 3}
    assert about.pretraining["file"]["left_out"] == ["logit_bias", "logit_scale", "text_model"]
    said = {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6], "resample": 2}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(said))
    about = Backbone.load(source).about
    assert (about.mean, about.std, about.interpolation) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6), "bilinear")
    assert "assumed" not in about.pretraining
    assert Backbone.load(f"{source}?mean=0.2,0.2,0.2").about.mean == (0.2,) * 3
    # As transformers 5 writes it next to a tokenizer.
    (tmp_path / "preprocessor_config.json").unlink()
    (tmp_path / "processor_config.json").write_text(json.dumps({"image_processor": said}))
    assert Backbone.load(source).about.mean == (0.1, 0.2, 0.3)


@pytest.mark.parametrize(
    ("kind", "config", "weights", "says"),
    [
        ("transformers CLIP", {"vision_config": {"layer_norm_eps": 0.1}}, dict, "epsilon 0.1"),
        ("transformers CLIP, exact GELU", {"hidden_act": "relu"}, dict, "activation .*relu"),
        ("transformers DINOv3", {"hidden_act": "gelu_new"}, dict, "gelu_tanh in its MLPs"),
        (
            "transformers DINOv3",
            {},
            lambda s: s.update({"layer.0.attention.k_proj.bias": torch.ones(64)}),
            "without a place: blocks.0.attn.k_bias",
        ),
        ("transformers SigLIP", {}, lambda s: s.pop("vision_model.head.attention.in_proj_bias"), "SigLIP"),
        ("transformers CLIP", {}, lambda s: s.pop("vision_model.embeddings.class_embedding"), "CLIP"),
        (
            "transformers DINOv3",
            {},
            lambda s: s.update({"embeddings.patch_embeddings.weight": torch.ones(3)}),
            "patch embedding of shape",
        ),
        (
            "transformers DINOv3",
            {"num_attention_heads": 5},
            dict,
            "does not fit timm.s vit_small_patch16_dinov3: shapes",
        ),
    ],
)
def test_what_timm_has_no_place_for_is_one_line(
    kind: str, config: dict[str, Any], weights: Callable[[dict[str, Any]], Any], says: str, tmp_path: Path
) -> None:
    source = changed(kind, tmp_path, config, weights)
    with pytest.raises(UserError, match=says) as refused:
        Backbone.load(source)
    assert "\n" not in str(refused.value)


def test_options_that_the_folder_decides_are_refused(tmp_path: Path) -> None:
    FOLDERS["transformers DINOv3"](tmp_path)
    with pytest.raises(UserError, match="the folder says heads of this model"):
        Backbone.load(f"hf:{tmp_path}?heads=4")


def written_by_timm(name: str, folder: Path, **changes: Any) -> tuple[str, Any]:
    """The source of a folder as timm writes one for the hub, and timm's model."""
    model = drawn(timm.create_model(name, num_classes=0))
    folder.mkdir(exist_ok=True)
    save_file(model.state_dict(), folder / "model.safetensors")
    save_config_for_hf(model, folder / "config.json")
    (folder / "config.json").write_text(json.dumps(json.loads((folder / "config.json").read_text()) | changes))
    return f"hf:{folder}", model


@pytest.mark.parametrize(("name", "kind"), [("test_vit", BackboneSpec), ("test_convnext", WrappedSpec)])
@torch.no_grad()
def test_a_folder_that_timm_wrote_is_read_by_the_name_in_it(name: str, kind: type, tmp_path: Path) -> None:
    said = {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]}
    source, model = written_by_timm(name, tmp_path, pretrained_cfg=said)
    backbone = Backbone.load(source)
    assert type(backbone.about) is kind
    assert (backbone.about.source, backbone.about.mean, backbone.about.std) == (source, *map(tuple, said.values()))
    images = torch.randn(1, 3, backbone.about.image_size, backbone.about.image_size)
    torch.testing.assert_close(backbone.features().eval()(images).pooled, model(images), atol=1e-4, rtol=0)
    assert Backbone.load(f"{source}?mean=0.5,0.5,0.5").about.mean == (0.5,) * 3


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"architecture": "vit_base_patch16_siglip_224", "global_pool": "avg"}, "pools by avg, timm's .* by map"),
        ({"model_args": {"drop_rate": 0.1}}, "was built with"),
        ({"architecture": "no_such"}, "no_such"),
        ({"pretrained_cfg": {"mean": "red"}}, "mean"),
    ],
)
def test_what_timms_name_does_not_say_is_one_line(changes: dict[str, Any], says: str, tmp_path: Path) -> None:
    source, _ = written_by_timm("test_convnext", tmp_path, **changes)
    with pytest.raises(UserError, match=says) as refused:
        Backbone.load(source)
    assert "\n" not in str(refused.value)


def test_pixels_that_are_not_normalised_or_on_another_scale(tmp_path: Path) -> None:
    source = changed("transformers SigLIP", tmp_path, {}, dict)
    images = tmp_path / "preprocessor_config.json"
    images.write_text(json.dumps({"do_normalize": False, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}))
    about = Backbone.load(source).about
    assert (about.mean, about.std) == ((0.0,) * 3, (1.0,) * 3)
    images.write_text(json.dumps({"rescale_factor": 1 / 127.5}))
    with pytest.raises(UserError, match="multiplies pixels by"):
        Backbone.load(source)
