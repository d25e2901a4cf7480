"""A recipe is read into types, or refused in one line that names the value."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from crossmae.errors import UserError
from crossmae.recipe import Recipe, load_recipe
from segmentation.recipe import RECIPES, read_recipe
from segmentation.task import UperNetTask
from transfer.task import TaskSpec

TASK = UperNetTask(
    TaskSpec("ade20k_upernet", 1, "", "segmentation.task:UperNetTask", "ade20k", ("miou",), "segmentation")
)


@pytest.fixture
def recipe() -> Recipe:
    return load_recipe(RECIPES, "ade20k_upernet_demo")


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_recipe_is_read(path: Path) -> None:
    values = read_recipe(load_recipe(RECIPES, path.stem))
    assert values.protocol.global_batch == (8 if path.stem.endswith("_small") else 16)
    # Schedules that follow the number of images evaluate at their end alone.
    assert values.protocol.epochs or values.execution.evaluate_every <= values.protocol.steps


@pytest.mark.parametrize(
    ("section", "changes", "complaint"),
    [
        ("protocol", {"max_steps": 5}, "has unknown max_steps"),
        ("execution", {"validate_every": 5}, "has unknown validate_every"),
        ("protocol", {"lr": "1e-3"}, "lr is '1e-3'"),
        ("protocol", {"lr": -1.0}, "lr is -1.0"),
        ("protocol", {"global_batch": 0}, "global_batch is 0"),
        ("protocol", {"crop": True}, "crop is True"),
        ("protocol", {"drop_path": 1.0}, "drop_path is 1.0"),
        ("protocol", {"out_indices": [0, 1, 2]}, "out_indices"),
        ("protocol", {"out_indices": [0, 2, 1, 3]}, r"out_indices \[0, 2, 1, 3\] do not rise"),
        ("protocol", {"ratio_range": [2.0, 0.5]}, "ratio_range goes down from 2.0 to 0.5"),
        ("execution", {"per_device_batch": 0}, "per_device_batch is 0"),
        ("execution", {"log_every": 0}, "log_every is 0"),
        ("execution", {"workers": -1}, "workers is -1"),
        ("execution", {"precision": "fp8"}, "precision is 'fp8'"),
    ],
)
def test_a_wrong_value_is_one_line(section: str, changes: dict[str, Any], complaint: str, recipe: Recipe) -> None:
    changed: dict[str, Any] = {section: {**getattr(recipe, section), **changes}}
    with pytest.raises(
        UserError, match=f"^(the (protocol|execution) of )?recipe ade20k_upernet_demo.* ?{complaint}[^\n]*$"
    ):
        TASK.check_recipe(replace(recipe, **changed))


@pytest.mark.parametrize(("section", "key"), [("protocol", "stride"), ("execution", "evaluate_every")])
def test_a_missing_value_is_one_line(section: str, key: str, recipe: Recipe) -> None:
    values = {name: value for name, value in getattr(recipe, section).items() if name != key}
    lacking: dict[str, Any] = {section: values}
    with pytest.raises(UserError, match=f"^the (protocol|execution) of recipe ade20k_upernet_demo lacks {key}$"):
        TASK.check_recipe(replace(recipe, **lacking))
