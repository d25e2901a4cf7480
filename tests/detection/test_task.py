"""The task as the benchmark starts it."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from crossmae.backbone import Backbone
from crossmae.errors import UserError
from crossmae.recipe import Recipe, load_recipe
from detection.recipe import RECIPES, read_recipe
from detection.task import ViTDetTask
from transfer.task import Context, TaskSpec

TASKS = Path(__file__).parents[2] / "transfer" / "tasks"


def test_a_run_gives_the_metrics_and_pictures_that_it_promises(
    spec: TaskSpec, backbone: Backbone, short_recipe: Callable[..., Recipe], new_context: Callable[..., Context]
) -> None:
    context = new_context()
    metrics = ViTDetTask(spec).run(backbone, short_recipe(), context)
    promised = yaml.safe_load((TASKS / "coco_vitdet.yaml").read_text())["metrics"]
    assert set(promised) <= set(metrics)
    assert all((context.folder / path).stat().st_size > 0 for path in context.artifacts.values())
    assert set(context.artifacts) == {"detections", "classes", "model"}
    assert context.throughput is not None
    model = torch.load(context.folder / "model_final.pth", weights_only=True)["model"]
    assert "backbone.net.blocks.3.attn.rel_pos_h" in model


def test_the_option_leaves_relative_positions_out(
    spec: TaskSpec, backbone: Backbone, short_recipe: Callable[..., Recipe], new_context: Callable[..., Context]
) -> None:
    options = yaml.safe_load((TASKS / "coco_vitdet_norelpos.yaml").read_text())["options"]
    context = new_context()
    ViTDetTask(replace(spec, options=options)).run(backbone, short_recipe("steps=2", "milestones=[1]"), context)
    model = torch.load(context.folder / "model_final.pth", weights_only=True)["model"]
    assert not [name for name in model if "rel_pos" in name]


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_recipe_is_complete(path: Path) -> None:
    recipe = load_recipe(RECIPES, path.stem)
    protocol = read_recipe(recipe).protocol
    assert protocol.milestones[-1] < protocol.steps
    published = {"coco_vitdet_vit_b16", "coco_vitdet_vit_l16", "coco_vitdet_vit_h14"}
    assert bool(recipe.deviations) != (path.stem.replace("_norelpos", "") in published)


def test_a_recipe_for_another_depth_is_refused(
    spec: TaskSpec, backbone: Backbone, new_context: Callable[..., Context]
) -> None:
    recipe = load_recipe(RECIPES, "coco_vitdet_vit_b16")
    with pytest.raises(UserError, match="last global block is 11, but the backbone has 4 blocks"):
        ViTDetTask(spec).run(backbone, recipe, new_context())


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("lr=1e-3", "lr is '1e-3': .*YAML wants"),
        ("classes=0", "classes is 0: should be greater than or equal to 1"),
        ("steps=2.5", "steps is 2.5"),
        ("clip_grad=-1", "clip_grad is -1: should be greater than 0"),
        ("weight_decay=-1", "weight_decay is -1"),
        ("layer_decay=0", "layer_decay is 0"),
        ("drop_path=1", "drop_path is 1"),
        ("betas=[0.9, 1.0]", "betas.1 is 1.0"),
        ("scale_jitter=[0.5]", "lacks scale_jitter.1"),
        ("scale_jitter=[2.0, 0.5]", "scale_jitter goes down from 2.0 to 0.5; give the least factor first"),
        ("milestones=[5, 3]", "milestones .5, 3. do not rise"),
        ("anchors=[8, 16]", "2 anchors for 3 pyramid levels"),
        ("pyramid.scales=[3.0, 1.0, 0.5]", "detectron2 builds 4.0, 2.0, 1.0, 0.5"),
        ("pyramid.extra_level=true", "extra pyramid level comes after stride 32"),
        ("window_size=4", "window_size without global_blocks"),
        ("log_every=0", "log_every is 0"),
        ("workers=-1", "workers is -1"),
        ("per_device_batch=0", "per_device_batch is 0"),
        ("attention=quick", "attention is 'quick'"),
        ("precision=fp8", "precision is 'fp8'"),
    ],
)
def test_a_faulty_value_is_one_line_before_anything_starts(
    spec: TaskSpec, short_recipe: Callable[..., Recipe], override: str, says: str
) -> None:
    with pytest.raises(UserError, match=f"^(the (protocol|execution) of )?recipe coco_vitdet_demo:? .*{says}") as error:
        ViTDetTask(spec).check_recipe(short_recipe(override))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("section", ["protocol", "execution"])
def test_unknown_and_missing_values_are_named(
    spec: TaskSpec, short_recipe: Callable[..., Recipe], section: str
) -> None:
    recipe = short_recipe()
    values = {**getattr(recipe, section), "iterations": 3}
    values.pop("steps", None)
    faulty = {"protocol": "has unknown iterations; lacks steps", "execution": "has unknown iterations"}
    changed: dict[str, Any] = {section: values}
    with pytest.raises(UserError, match=f"recipe coco_vitdet_demo {faulty[section]}"):
        ViTDetTask(spec).check_recipe(replace(recipe, **changed))


def test_importing_the_adapter_loads_no_detectron2() -> None:
    code = "import sys, detection.task; sys.exit(any(name.startswith('detectron2') for name in sys.modules))"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_detectron2_the_reason_is_one_line(
    spec: TaskSpec,
    backbone: Backbone,
    short_recipe: Callable[..., Recipe],
    new_context: Callable[..., Context],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("detection.task.find_spec", lambda _: None)
    with pytest.raises(UserError, match="needs detectron2, which is not installed; run `make setup`"):
        ViTDetTask(spec).run(backbone, short_recipe(), new_context())
