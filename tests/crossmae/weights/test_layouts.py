"""Where a vision transformer lies in a file, what is assumed of it, and one line that says what to write."""

import argparse
import logging
import os
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch

from crossmae import Backbone, UserError
from crossmae.weights.options import OTHERWISE
from tests.support.vit_files import FILES, other, prefixed, timm_vit


def saved(content: Any, folder: Path) -> Path:
    torch.save(content, folder / "mine.pth")
    return folder / "mine.pth"


@pytest.mark.parametrize(
    ("content", "writings"),
    [
        (lambda s: {"model": s, "model_ema": other()}, "?key=model or {}?key=model_ema"),
        (lambda s: {"student": prefixed(s, "m."), "teacher": s}, "?key=student or {}?key=teacher"),
        (
            lambda s: {"state_dict": prefixed(s, "module.base_encoder.") | prefixed(s, "module.momentum_encoder.")},
            "?prefix=base_encoder. or {}?prefix=momentum_encoder.",
        ),
    ],
)
def test_two_vits_are_an_error_that_says_what_to_write(content: Any, writings: str, tmp_path: Path) -> None:
    path = saved(content(timm_vit().state_dict()), tmp_path)
    with pytest.raises(UserError) as refused:
        Backbone.load(path)
    assert str(refused.value) == f"{path} holds 2 vision transformers; write {path}{writings.format(path)}"
    for writing in str(refused.value).partition("write ")[2].split(" or "):
        assert Backbone.load(f"{writing}&heads=4").spec.embed_dim == 64


def test_heads_of_width_384_are_asked_for(tmp_path: Path) -> None:
    path = saved({"model": timm_vit(embed_dim=384, num_heads=12).state_dict()}, tmp_path)
    with pytest.raises(UserError) as refused:
        Backbone.load(path)
    assert str(refused.value).endswith(f"write {path}?heads=6 or {path}?heads=12")
    assert [Backbone.load(f"{path}?heads={heads}").spec.num_heads for heads in (6, 12)] == [6, 12]


def test_what_is_assumed_and_left_out_is_logged_and_recorded(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    state = timm_vit().state_dict() | {"head.weight": torch.ones(3, 64), "mask_token": torch.ones(64)}
    path = saved({"args": argparse.Namespace(lr=np.float64(0.1)), "model": state}, tmp_path)
    with caplog.at_level(logging.INFO):
        spec = Backbone.load(f"{path}?heads=4&act=gelu_tanh").spec
    assert spec.pretraining["file"] == {"layout": "timm", "key": "model", "left_out": ["head", "mask_token"]}
    assert spec.pretraining["assumed"] == {
        "eps": 1e-6,
        "mean": (0.485, 0.456, 0.406),
        "std": (0.229, 0.224, 0.225),
    }
    assert "left out, as no encoder needs it: head, mask_token" in caplog.text
    assert "assumed: eps 1e-06, mean (0.485, 0.456, 0.406)" in caplog.text


def test_options_reach_the_specification_and_its_file(tmp_path: Path) -> None:
    path = saved(timm_vit().state_dict(), tmp_path)
    source = f"{path}?heads=2&act=quick_gelu&eps=1e-5&mean=0.5,0.5,0.5&std=0.2,0.2,0.2&image_size=64"
    backbone = Backbone.load(source)
    spec = backbone.spec
    assert (spec.num_heads, spec.activation, spec.norm_eps, spec.image_size) == (2, "quick_gelu", 1e-5, 64)
    assert (spec.mean, spec.std, spec.source) == ((0.5,) * 3, (0.2,) * 3, source)
    assert backbone.state_dict()["pos_embed"].shape == (1, 65, 64)
    backbone.save(tmp_path / "saved")
    assert Backbone.load(tmp_path / "saved").spec == Backbone.load(source).spec


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("head=6", "unknown head"),
        ("heads=six", "heads is 'six'"),
        ("heads=5", "5 heads do not divide"),
        ("mean=0.5", "lacks mean"),
        ("mean=127,127,127", "mean.0 is 127"),
        ("act=relu", "act is 'relu'"),
        ("key", "no name=value"),
        ("heads=4&heads=4", "given twice"),
        ("heads=4&key=teacher", r"write .*mine\.pth\?key=&heads=4$"),
        ("heads=4&image_size=30", "no multiple"),
    ],
)
def test_a_wrong_option_is_one_line(options: str, says: str, tmp_path: Path) -> None:
    path = saved(timm_vit().state_dict(), tmp_path)
    with pytest.raises(UserError, match=says) as refused:
        Backbone.load(f"{path}?{options}")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["vit_small_patch16_36x1_224", "vit_base_patch16_224"])
def test_timms_configuration_decides_for_its_models(name: str, tmp_path: Path) -> None:
    theirs = timm.create_model(name, num_classes=5, img_size=32, depth=1)
    spec = Backbone.load(f"timm:{name}@{saved(theirs.state_dict(), tmp_path)}").spec
    assert (spec.mean, spec.std) == (theirs.pretrained_cfg["mean"], theirs.pretrained_cfg["std"])
    assert (spec.num_heads, spec.norm_eps) == (theirs.blocks[0].attn.num_heads, theirs.blocks[0].norm1.eps)
    assert "assumed" not in spec.pretraining


def test_a_file_without_a_vit_says_what_it_holds(tmp_path: Path) -> None:
    path = saved({"generator": {"conv.weight": torch.ones(3)}, "epoch": 3}, tmp_path)
    with pytest.raises(UserError, match=rf"at its top: 'epoch', 'generator'; {re.escape(OTHERWISE)}$") as refused:
        Backbone.load(path)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("layout", [name for name in FILES if not name.startswith("transformers")])
def test_objects_in_a_file_of_any_layout_run_nothing(layout: str, tmp_path: Path) -> None:
    source, _ = FILES[layout](tmp_path)
    path = Path(source.partition("?")[0])
    attack = Attack(tmp_path / "was-here")
    if path.is_dir():
        (path / ".metadata").write_bytes(pickle.dumps(attack))
    else:
        torch.save({**torch.load(path, weights_only=True), "args": attack}, path)
    with pytest.raises(UserError, match=r"refused|nothing of it was run"):
        Backbone.load(source)
    assert not (tmp_path / "was-here").exists()


def test_a_folder_of_distcp_that_is_no_whole_checkpoint_is_one_line(tmp_path: Path) -> None:
    source, _ = FILES["FSDP, torchtitan: a folder of `.distcp`"](tmp_path)
    (part,) = tmp_path.glob("*.distcp")
    description = (tmp_path / ".metadata").read_bytes()
    stranger = description.replace(part.name.encode(), b"../.distcp"[: len(part.name)].ljust(len(part.name), b"x"))
    metadata = tmp_path / ".metadata"
    for file, damaged, says in (
        (part, part.read_bytes()[:30_000], "larger than its files"),
        (part, b"0" * 1_000_000, "no readable checkpoint"),
        (metadata, stranger, "is no file of it"),
        (metadata, description[:100], "no readable checkpoint"),
        (metadata, pickle.dumps({}), "no description"),
        (metadata, pickle.dumps(os.getcwd), "wants to run posix.getcwd"),
    ):
        file.write_bytes(damaged)
        with pytest.raises(UserError, match=says) as refused:
            Backbone.load(source)
        assert "\n" not in str(refused.value)


class Attack:
    """Creates a folder when unpickled by the ordinary unpickler."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)
