"""Finished detectors give the metrics that training reported, in each of detectron2's file formats."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from detectron2 import model_zoo
from detectron2.config import instantiate

from crossmae.backbone import Backbone
from crossmae.errors import UserError
from crossmae.recipe import Recipe, load_recipe
from crossmae.weights.files import write_torch
from detection.build.dims import Dims
from detection.build.model import model_config
from detection.evaluation.finished import dims_of, evaluate_vitdet, read_detector
from detection.recipe import RECIPES, read_recipe
from detection.training.train import train_vitdet
from tests.support.runs import RunFolder
from transfer.commands.export import export_run
from transfer.task import Context

New = Callable[..., Context]
Recipes = Callable[..., Recipe]


def test_an_exported_detector_is_read_as_it_was(tmp_path: Path) -> None:
    weights = {
        "backbone.net.pos_embed": torch.rand(1, 5, 8),
        "backbone.net.blocks.0.mlp.fc1.weight": torch.rand(16, 8),
        "backbone.net.blocks.0.attn.rel_pos_h": torch.rand(3, 4),
    }
    run = RunFolder(tmp_path / "runs").record("coco_vitdet", "mae", 0, {"box_ap": 30.0}, artifacts={"model": "m.pth"})
    write_torch({"model": weights}, run / "m.pth")
    export_run(run, tmp_path / "exported", tmp_path / "runs", None)
    read = read_detector(tmp_path / "exported" / "model.safetensors")
    assert read.keys() == weights.keys()
    assert all(torch.equal(weights[name], read[name]) for name in weights)


@pytest.mark.parametrize(
    "relative_positions", [True, pytest.param(False, marks=pytest.mark.slow)], ids=["relative", "absolute"]
)
def test_a_trained_detector_scores_as_in_training(
    backbone: Backbone, short_recipe: Recipes, new_context: New, relative_positions: bool
) -> None:
    context = new_context("train")
    # Long enough for detections above the score threshold.
    recipe = short_recipe("steps=20", "global_batch=8", "milestones=[18]", "layer_decay=1.0")
    reported = train_vitdet(backbone, recipe, context, relative_positions)
    assert reported["box_ap50"] > 0.1
    pth = context.folder / "model_final.pth"
    pkl = context.folder / "model_final.pkl"
    state = torch.load(pth, weights_only=True)["model"]
    names = ("pixel_mean", "pixel_std", "proposal_generator.anchor_generator.cell_anchors.0")
    constants = dict.fromkeys(names, torch.zeros(3, 4))
    arrays = {name: weight.numpy() for name, weight in {**state, **constants}.items()}
    content = {"model": arrays, "__author__": "test"}
    pkl.write_bytes(pickle.dumps(content))
    for path in (pth, pkl):
        assert evaluate_vitdet(path, recipe, new_context(path.suffix)) == reported


@pytest.mark.parametrize("relative_positions", [True, False])
def test_weights_have_the_names_and_shapes_of_detectron2s_own_model(relative_positions: bool) -> None:
    """So a file that detectron2 wrote fits; only the numbers of the ViT are made small here."""
    upstream = model_zoo.get_config("common/models/mask_rcnn_vitdet.py").model
    net = upstream.backbone.net
    net.embed_dim, net.depth, net.num_heads, net.use_rel_pos = 48, 12, 3, relative_positions
    protocol = read_recipe(load_recipe(RECIPES, "coco_vitdet_vit_b16")).protocol
    ours = model_config(protocol, Dims(48, 12, 3, 4.0, 14, class_token=True), relative_positions)
    theirs, places = (
        {name: weight.shape for name, weight in instantiate(config).state_dict().items()} for config in (upstream, ours)
    )
    assert len(theirs) > 180
    assert places == theirs


def test_dimensions_come_from_the_weights() -> None:
    net = "backbone.net."
    state = {
        f"{net}pos_embed": torch.zeros(1, 197, 768),
        f"{net}blocks.0.mlp.fc1.weight": torch.zeros(3072, 768),
        f"{net}blocks.0.attn.rel_pos_h": torch.zeros(27, 64),
        f"{net}blocks.11.norm1.weight": torch.zeros(768),
    }
    dims = dims_of(state)
    assert (dims.embed_dim, dims.num_heads, dims.mlp_ratio, dims.grid, dims.class_token) == (768, 12, 4.0, 14, True)


def test_a_file_that_would_run_code_is_refused(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return eval, (f"open({str(tmp_path / 'ran')!r}, 'w')",)

    for name in ("evil.pkl", "evil.pth"):
        (tmp_path / name).write_bytes(pickle.dumps({"model": Evil()}))
    torch.save({"model": Evil()}, tmp_path / "zipped.pth")
    for name in ("evil.pkl", "evil.pth", "zipped.pth"):
        with pytest.raises(UserError, match=f"{name} .*(nothing|none) of it was run") as error:
            read_detector(tmp_path / name)
        assert "weights_only" not in str(error.value)
        assert "\n" not in str(error.value)
    assert not (tmp_path / "ran").exists()


def vitdet(**changes: Any) -> dict[str, Any]:
    """The least that counts as a ViTDet, with some weights replaced; None leaves one out."""
    weights = {
        "pos_embed": torch.zeros(1, 5, 8),
        "blocks.0.mlp.fc1.weight": torch.zeros(32, 8),
        "blocks.1.norm1.weight": torch.zeros(8),
    }
    named = {f"backbone.net.{name}": value for name, value in weights.items()}
    return {name: value for name, value in (named | changes).items() if value is not None}


NET = "backbone.net."

FOREIGN: dict[str, tuple[Any, str]] = {
    "a list": ([1, 2], "holds a list, not named weights"),
    "a number": (7, "holds a int, not named weights"),
    "a model that is none": ({"model": 3}, "holds no named weights"),
    "a classifier": ({"model": {"fc.weight": torch.zeros(2)}}, "holds no ViTDet"),
    "numbers as names": ({"model": {1: torch.zeros(2)}}, "holds no ViTDet"),
    "no blocks": (vitdet(**{f"{NET}blocks.0.mlp.fc1.weight": None}), "it has no weight backbone.net.blocks.0.mlp"),
    "flat positions": (
        vitdet(**{f"{NET}pos_embed": torch.zeros(5, 8)}),
        r"backbone.net.pos_embed has the shape \(5, 8\)",
    ),
    "no positions": (
        vitdet(**{f"{NET}pos_embed": torch.zeros(1, 0, 8)}),
        r"backbone.net.pos_embed has the shape \(1, 0, 8\)",
    ),
    "a gap": (vitdet(**{f"{NET}blocks.{9**9 % 10**6}.norm1.weight": torch.zeros(8)}), "its blocks are 0, 1, 420489"),
    "a claim": (
        vitdet(**{f"{NET}pos_embed": torch.zeros(1).expand(1, 10**6, 10**6)}),
        "backbone.net.pos_embed is larger than the file",
    ),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_content_is_one_line(tmp_path: Path, name: str) -> None:
    content, says = FOREIGN[name]
    torch.save(content, tmp_path / "foreign.pth")
    with pytest.raises(UserError, match=rf"foreign\.pth.* {says}") as error:
        read_detector(tmp_path / "foreign.pth")
    assert "\n" not in str(error.value)


def test_foreign_arrays_in_a_pickle_are_one_line(tmp_path: Path) -> None:
    arrays = [np.array([None, {}], dtype=object), np.array(["a"]), np.array(["2020"], dtype="datetime64[s]")]
    for array in arrays:
        content = {"model": {f"{NET}pos_embed": array}}
        (tmp_path / "foreign.pkl").write_bytes(pickle.dumps(content))
        with pytest.raises(UserError, match=r"foreign\.pkl .*pos_embed is no array of numbers"):
            read_detector(tmp_path / "foreign.pkl")
    reversed_view = {f"{NET}pos_embed": np.zeros((1, 5, 8), dtype=np.float32)[:, ::-1]}
    rest = {name: value.numpy() for name, value in vitdet().items() if "pos_embed" not in name}
    (tmp_path / "fine.pkl").write_bytes(pickle.dumps({"model": {**rest, **reversed_view}}))
    assert read_detector(tmp_path / "fine.pkl")[f"{NET}pos_embed"].shape == (1, 5, 8)


@pytest.mark.parametrize("name", ["page.pth", "page.pkl"])
@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", b"\x80\x02", b"PK\x03\x04" + bytes(40)])
def test_damaged_files_are_one_line(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=f"{name} is (no readable checkpoint|damaged|empty|a web page)") as error:
        read_detector(tmp_path / name)
    assert "\n" not in str(error.value)


def test_a_cut_file_and_a_missing_one(tmp_path: Path) -> None:
    torch.save({"model": vitdet()}, tmp_path / "cut.pth")
    (tmp_path / "cut.pth").write_bytes((tmp_path / "cut.pth").read_bytes()[:-100])
    with pytest.raises(UserError, match=r"cut\.pth is damaged"):
        read_detector(tmp_path / "cut.pth")
    for path in (tmp_path / "missing.pth", tmp_path):
        with pytest.raises(UserError, match="no weight file"):
            read_detector(path)
