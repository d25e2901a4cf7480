"""The task as the benchmark starts it."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml

from crossmae.backbone import Backbone
from crossmae.errors import UserError
from crossmae.parsing import parse
from crossmae.recipe import Recipe, load_recipe
from detection.build.build import RECIPES
from detection.recipe import Execution, Protocol
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
    assert set(context.artifacts) == {"detections", "class_ap", "model"}
    assert context.throughput is not None
    model = torch.load(context.folder / "model_final.pth", weights_only=True)["model"]
    assert "backbone.net.blocks.3.attn.rel_pos_h" in model


def test_the_option_leaves_relative_positions_out(
    spec: TaskSpec, backbone: Backbone, short_recipe: Callable[..., Recipe], new_context: Callable[..., Context]
) -> None:
    options = yaml.safe_load((TASKS / "coco_vitdet_norelpos.yaml").read_text())["options"]
    context = new_context()
    ViTDetTask(replace(spec, options=options)).run(backbone, short_recipe("iterations=2", "milestones=[1]"), context)
    model = torch.load(context.folder / "model_final.pth", weights_only=True)["model"]
    assert not [name for name in model if "rel_pos" in name]


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_recipe_is_complete(path: Path) -> None:
    recipe = load_recipe(RECIPES, path.stem)
    protocol = parse(Protocol, recipe.protocol, path.stem)
    parse(Execution, recipe.execution, path.stem)
    assert protocol.milestones == sorted(protocol.milestones)
    assert protocol.milestones[-1] < protocol.iterations
    published = {"coco_vitdet_vit_b16", "coco_vitdet_vit_l16", "coco_vitdet_vit_h14"}
    assert bool(recipe.deviations) != (path.stem.replace("_norelpos", "") in published)


def test_a_recipe_for_another_depth_is_refused(
    spec: TaskSpec, backbone: Backbone, new_context: Callable[..., Context]
) -> None:
    recipe = load_recipe(RECIPES, "coco_vitdet_vit_b16")
    with pytest.raises(UserError, match="last global block is 11, but the backbone has 4 blocks"):
        ViTDetTask(spec).run(backbone, recipe, new_context())


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"classes": 3}, "recipe lacks image_size"),
        ({"surprise": 3}, "recipe has unknown surprise"),
        ({"classes": "3e1"}, "recipe: classes is '3e1', not int; YAML wants"),
    ],
)
def test_a_faulty_protocol_is_named(values: dict[str, object], says: str) -> None:
    with pytest.raises(UserError, match=says):
        parse(Protocol, values, "recipe")


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
