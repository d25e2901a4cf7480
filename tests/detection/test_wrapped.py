"""Mask R-CNN on backbones that are no plain ViTs, and on plain ones under the same protocol."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from detectron2.config import instantiate
from detectron2.utils.events import EventStorage

from crossmae.backbone import Backbone
from crossmae.data.keyed import SampleKey
from crossmae.errors import UserError
from crossmae.recipe import Recipe
from detection.build.loader import loader_config
from detection.data.register import read_dicts
from detection.data.samples import KeyedSamples
from detection.evaluation.finished import evaluate_vitdet
from detection.recipe import VitDetProtocol, read_recipe
from detection.training.train import train_vitdet
from detection.wrapped import PROTOCOL, wrapped_config, wrapped_groups
from tests.support.families import FAMILIES, backbone_of
from transfer.task import Context

New = Callable[..., Context]
Recipes = Callable[..., Recipe]


@pytest.fixture
def protocol(short_recipe: Recipes) -> VitDetProtocol:
    return read_recipe(short_recipe()).protocol


@pytest.mark.parametrize("family", [*FAMILIES, "plain"])
def test_two_updates_reach_every_parameter(
    family: str, protocol: VitDetProtocol, coco: Path, backbone: Backbone
) -> None:
    torch.manual_seed(0)
    wrapped = backbone if family == "plain" else backbone_of(family)
    model = instantiate(wrapped_config(protocol, wrapped, activation_checkpointing=False)).train()
    mapper = instantiate(loader_config(protocol, ("train", "val"), workers=0).train.mapper)
    samples = KeyedSamples(read_dicts(coco, "train", protocol.classes), mapper, seed=0)
    optimizer = torch.optim.AdamW(wrapped_groups(model, protocol))
    scales = {group["lr"] for group in optimizer.param_groups}
    assert max(scales) == protocol.lr
    assert len(scales) > 4
    with EventStorage():
        for step in range(2):
            loss = sum(model([samples[SampleKey(step, index)] for index in range(2)]).values())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            assert torch.isfinite(loss)
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []
    assert model.pixel_mean.flatten().tolist() == pytest.approx([255 * value for value in wrapped.about.mean])


@pytest.mark.slow
@pytest.mark.parametrize("family", ["Hiera", "plain"])
def test_a_finished_detector_gives_what_training_reported(
    family: str, short_recipe: Recipes, new_context: New, backbone: Backbone
) -> None:
    context = new_context("run")
    recipe = short_recipe("steps=2", "milestones=[1]")
    plain = family == "plain"
    reported = train_vitdet(
        backbone if plain else backbone_of(family), recipe, context, relative_positions=False, wrapped=plain
    )
    # Where every backbone is wrapped that is the protocol, and no departure from it.
    assert (PROTOCOL in context.deviations) == (not plain)
    again = evaluate_vitdet(context.folder / "model_final.pth", recipe, new_context("again"))
    assert again == reported


def test_a_pyramid_that_the_stages_do_not_have_is_one_line(short_recipe: Recipes) -> None:
    protocol = read_recipe(short_recipe("pyramid.scales=[4.0,2.0,1.0]")).protocol
    with pytest.raises(UserError, match=r"strides \[4, 8, 16, 32\], the recipe's pyramid has \[2\], too"):
        wrapped_config(protocol, backbone_of("ConvNeXt"), activation_checkpointing=False)
