"""UperNet on backbones that are no plain ViTs, and on plain ones under the same protocol."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from crossmae.backbone import Backbone
from crossmae.errors import UserError
from crossmae.recipe import Recipe
from crossmae.run.progress import ProgressFile
from crossmae.run.stop import Stopped
from segmentation.build.config import upernet
from segmentation.build.prepare import prepare
from segmentation.recipe import read_recipe
from segmentation.run import evaluate, train
from segmentation.wrapped import PROTOCOL, wrapped_departures
from tests.support.families import FAMILIES, backbone_of
from transfer.task import Context

Contexts = Callable[[Path], Context]
Recipes = Callable[..., Recipe]

CLASSES = ("background", "trouser", "dress", "sneaker", "bag")


def batch() -> dict[str, Any]:
    """Four images, 64 pixels wide, whose left and right halves are of two colours and classes."""
    images = torch.full((4, 3, 64, 64), 40, dtype=torch.uint8)
    images[:, :, :, 32:] = 200
    classes = torch.zeros(1, 64, 64, dtype=torch.long)
    classes[:, :, 32:] = 3
    info = dict.fromkeys(("img_shape", "ori_shape", "pad_shape"), (64, 64))
    samples = [SegDataSample(gt_sem_seg=PixelData(data=classes), metainfo=info) for _ in images]
    return {"inputs": list(images), "data_samples": samples}


@pytest.mark.parametrize("family", [*FAMILIES, "plain"])
def test_updates_reach_every_parameter_and_the_loss_falls(
    family: str, small_recipe: Recipes, backbone: Backbone, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    init_default_scope("mmseg")
    wrapped, values = backbone if family == "plain" else backbone_of(family), read_recipe(small_recipe("lr=1.0e-2"))
    config = upernet(values.protocol, wrapped.about, tmp_path, CLASSES, wrapped=True)
    prepare(config, values.execution, Context(tmp_path, tmp_path, seed=0))
    model = MODELS.build(config.model).train()
    model.init_weights()
    model.backbone.load_backbone(wrapped)
    optimizer = build_optim_wrapper(model, config.optim_wrapper)
    rates = {group["lr"] for group in optimizer.param_groups}
    assert max(rates) == values.protocol.lr
    assert len(rates) > 4
    losses = []
    for _ in range(6):
        parts = model(**model.data_preprocessor(batch(), training=True), mode="loss")
        loss, _ = model.parse_losses(parts)
        optimizer.zero_grad()
        loss.backward()
        assert [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None] == []
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
    assert ("neck" in config.model) == (not wrapped.about.staged)
    assert model.data_preprocessor.mean.flatten().tolist() == pytest.approx([255 * x for x in wrapped.about.mean])


def test_the_segmenters_maps_are_the_backbones(small_recipe: Recipes, tmp_path: Path) -> None:
    """Weights arrive: four stages, or four taps, with kernels resized to the recipe's patches."""
    init_default_scope("mmseg")
    protocol = read_recipe(small_recipe()).protocol
    images = torch.randn(1, 3, 64, 64)
    for family, patch_size in {"Hiera": None, "registers (DINOv2), patch 14": protocol.patch_size}.items():
        wrapped = backbone_of(family)
        net = MODELS.build(upernet(protocol, wrapped.about, tmp_path, CLASSES).model.backbone).eval()
        net.init_weights()
        net.load_backbone(wrapped)
        expected = wrapped.maps(64, patch_size=patch_size).eval()(images)
        torch.testing.assert_close(list(net(images)), expected)


class Stopping(Context):
    """A run that is stopped after three updates."""

    def progress(self, step: int, total: int, metrics: Mapping[str, float]) -> None:
        super().progress(step, total, metrics)
        if step == 3 and "loss" in metrics:
            raise Stopped("for the test")


def losses_in(folder: Path) -> list[float]:
    return [line["loss"] for line in ProgressFile(folder).read() if "loss" in line]


@pytest.mark.slow
def test_a_finished_model_gives_what_training_reported(
    tmp_path: Path, small_recipe: Recipes, context_in: Contexts
) -> None:
    context, recipe = context_in(tmp_path / "run"), small_recipe("steps=4")
    reported = train(backbone_of("Hiera"), recipe, context)
    assert PROTOCOL in context.deviations
    assert evaluate(context.folder / "upernet.pth", recipe, context_in(tmp_path / "again")) == reported


@pytest.mark.slow
def test_a_stopped_run_resumes_under_its_own_protocol_alone(
    tmp_path: Path, small_recipe: Recipes, context_in: Contexts, backbone: Backbone
) -> None:
    whole, stopped, recipe = context_in(tmp_path / "a"), context_in(tmp_path / "b"), small_recipe("steps=4")
    reported = train(backbone, recipe, whole, wrapped=True)
    # Where every backbone is wrapped that is the protocol, and no departure from it.
    assert PROTOCOL not in whole.deviations
    with pytest.raises(Stopped):
        train(backbone, recipe, Stopping(stopped.folder, stopped.data_root, seed=0), wrapped=True)
    with pytest.raises(UserError, match="was started with another recipe: wrapped"):
        train(backbone, recipe, stopped)
    assert train(backbone, recipe, stopped, wrapped=True) == reported
    assert losses_in(stopped.folder) == losses_in(whole.folder)


def test_a_backbone_deeper_than_the_recipes_taps_is_tapped_by_quarters(
    small_recipe: Recipes, backbone: Backbone
) -> None:
    protocol, deep = read_recipe(small_recipe()).protocol, replace(backbone.spec, depth=12)
    config = upernet(protocol, deep, Path(), CLASSES, wrapped=True)
    assert config.model.backbone.taps == [2, 5, 8, 11]
    assert list(wrapped_departures(protocol, deep)) == [
        "taps blocks 2, 5, 8, 11 of 12, counted from 0: the last of each quarter"
    ]
