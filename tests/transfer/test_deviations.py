"""Every protocol value of every recipe in the repository, changed by hand, leaves its mark."""

import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

import crossmae.recipe
from crossmae.parsing import read_yaml
from crossmae.recipe import Recipe, load_recipe
from tests.test_map import PACKAGES, ROOT
from transfer.harness.plan.plan import make_plan
from transfer.harness.plan.suite import load_suite
from transfer.harness.plan.tasks import load_specs

RECIPES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("recipes/*.yaml"))


def values_of(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every key with its value: a mapping as a whole, then what is in it, as ``model.mask_ratio``."""
    for name, value in values.items():
        yield f"{prefix}{name}", value
        if isinstance(value, dict):
            yield from values_of(value, f"{prefix}{name}.")


def text_of(value: Any) -> str:
    """``value`` as somebody types it."""
    return yaml.safe_dump([value], default_flow_style=True, width=10**6, sort_keys=False).strip()[1:-1]


def another(value: Any) -> Any:
    """A value of the same kind that differs: the smallest change in a list or a mapping."""
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 1
        case list():
            return [another(value[0]), *value[1:]] if value else [1]
        case dict():
            name = next(iter(value), "new")
            return {**value, name: another(value.get(name))}
        case _:
            return f"not {value}"


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_changed_protocol_value_is_a_deviation_and_the_same_value_is_none(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crossmae.recipe, "read_yaml", cache(read_yaml))
    recipe = load_recipe(path.parent, path.stem)
    before = json.dumps(recipe.protocol)
    for key, value in values_of(recipe.protocol):
        assert load_recipe(path.parent, path.stem, [f"{key}={text_of(value)}"]) == recipe

        changed = load_recipe(path.parent, path.stem, [f"{key}={text_of(another(value))}"])
        assert changed.deviations == (*recipe.deviations, f"{key}={another(value)} (recipe: {value})")
        assert changed.hash != recipe.hash
    assert json.dumps(recipe.protocol) == before


def test_lists_and_nested_values_are_among_them() -> None:
    keys = {key for path in RECIPES for key, _ in values_of(load_recipe(path.parent, path.stem).protocol)}
    lists = {"milestones", "betas", "anchors", "image_scale", "out_indices", "augmentation.scale", "rpn.before_nms"}
    assert lists <= keys
    assert len(RECIPES) > 80


def test_the_smoke_suite_marks_its_milestones(tmp_path: Path) -> None:
    plan = make_plan(load_suite("smoke"), load_specs(), tmp_path)
    detection: list[Recipe] = [run.recipe for run in plan if run.task.name == "coco_vitdet"]
    assert detection
    for recipe in detection:
        assert any(text.startswith("milestones=[4, 5] (recipe: [") for text in recipe.deviations)
