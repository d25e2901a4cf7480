"""Finished detectors give the metrics that training reported, in each of detectron2's file formats."""

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from detectron2 import model_zoo
from detectron2.config import instantiate

from crossmae.backbone import Backbone
from crossmae.errors import UserError
from crossmae.parsing import parse
from crossmae.recipe import Recipe, load_recipe
from detection.build.build import RECIPES
from detection.build.dims import Dims
from detection.build.model import model_config
from detection.evaluation.finished import dims_of, read_detector
from detection.recipe import Protocol
from detection.run import evaluate_vitdet, train_vitdet
from transfer.task import Context

New = Callable[..., Context]
Recipes = Callable[..., Recipe]


@pytest.mark.parametrize(
    "relative_positions", [True, pytest.param(False, marks=pytest.mark.slow)], ids=["relative", "absolute"]
)
def test_a_trained_detector_scores_as_in_training(
    backbone: Backbone, short_recipe: Recipes, new_context: New, relative_positions: bool
) -> None:
    context = new_context("train")
    # Long enough for detections above the score threshold.
    recipe = short_recipe("iterations=20", "batch_size=8", "milestones=[18]", "layer_decay=1.0")
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
    protocol = parse(Protocol, load_recipe(RECIPES, "coco_vitdet_vit_b16").protocol, "recipe")
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
            return eval, ("1 + 1",)

    for name in ("evil.pkl", "evil.pth"):
        (tmp_path / name).write_bytes(pickle.dumps({"model": Evil()}))
        with pytest.raises(UserError, match=f"{name} is no readable checkpoint"):
            read_detector(tmp_path / name)


def test_files_that_are_no_vitdet(tmp_path: Path) -> None:
    torch.save({"model": {"fc.weight": torch.zeros(2)}}, tmp_path / "classifier.pth")
    with pytest.raises(UserError, match="holds no ViTDet"):
        read_detector(tmp_path / "classifier.pth")
    with pytest.raises(UserError, match="no readable checkpoint"):
        read_detector(tmp_path / "missing.pth")
