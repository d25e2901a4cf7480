"""Every value of a classification recipe is read into its type before anything starts."""

from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from crossmae.errors import UserError
from crossmae.recipe import Recipe, load_recipe
from tests.support.labelled_images import task
from transfer.classification.recipe import AttentiveProbeProtocol, FinetuneProtocol, LinearProbeProtocol, read_recipe

RECIPES = Path(str(files("transfer.classification"))) / "recipes"
FINETUNE: dict[str, Any] = {"method": "finetune", "epochs": 2, "global_batch": 16, "base_lr": 0.01}
LINEAR: dict[str, Any] = {**FINETUNE, "method": "linear"}


def recipe(protocol: dict[str, Any], **execution: Any) -> Recipe:
    return Recipe("a_recipe", "a test", (), protocol, execution)


@pytest.mark.parametrize("name", sorted(path.stem for path in RECIPES.glob("*.yaml")))
def test_every_recipe_is_read(name: str) -> None:
    read = read_recipe(load_recipe(RECIPES, name))
    kinds = {"linear": LinearProbeProtocol, "attentive": AttentiveProbeProtocol}
    expected = next((protocol for kind, protocol in kinds.items() if kind in name), FinetuneProtocol)
    assert isinstance(read.protocol, expected)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("global_batch", 0),
        ("global_batch", True),
        ("base_lr", 0),
        ("base_lr", "1e-3"),
        ("image_size", 0),
        ("epochs", 0),
        ("steps", 0),
        ("warmup_epochs", -1),
        ("warmup_steps", -5),
        ("min_lr", -1),
        ("clip_grad", 0),
        ("clip_grad", -1),
        ("crop_pct", 0),
        ("crop_pct", 1.5),
        ("weight_decay", -1),
        ("betas", [0.9, 1.0]),
        ("layer_decay", 0),
        ("drop_path", 1.0),
        ("pooling", "max"),
        ("mixup", -0.1),
        ("label_smoothing", 1.0),
    ],
)
def test_values_out_of_range_are_named(name: str, value: Any) -> None:
    with pytest.raises(UserError, match=f"^the protocol of recipe a_recipe: {name}[ .]"):
        task("imagenet").check_recipe(recipe({**FINETUNE, name: value}))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("scale", [5, 9]),
        ("scale", [1, 0.2]),
        ("scale", [0, 1]),
        ("crop", "centre"),
        ("flip", 5),
        ("rand_augment", "rond-m9"),
        ("rand_augment", "rand-x9"),
        ("random_erasing", -0.1),
    ],
)
def test_impossible_augmentations_are_named(name: str, value: Any) -> None:
    with pytest.raises(UserError, match=rf"augmentation\.{name}[ .]"):
        task("imagenet").check_recipe(recipe({**FINETUNE, "augmentation": {name: value}}))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("per_device_batch", 0),
        ("evaluation_batch", 0),
        ("log_every", 0),
        ("workers", -1),
        ("keep", 0),
        ("checkpoint_every", 0),
        ("precision", "fp8"),
        ("typo", 1),
    ],
)
def test_impossible_ways_to_carry_a_run_out_are_named(name: str, value: Any) -> None:
    with pytest.raises(UserError, match=f"^the execution of recipe a_recipe:? .*{name}"):
        task("imagenet").check_recipe(recipe(LINEAR, **{name: value}))


def test_steps_count_instead_of_epochs() -> None:
    plan = read_recipe(recipe({**FINETUNE, "steps": 7, "warmup_epochs": 1, "warmup_steps": 3})).protocol.plan(
        seed=0, samples=1000
    )
    assert (plan.total_steps(1000), plan.total_warmup(1000)) == (7, 3)
    plan = read_recipe(recipe({**FINETUNE, "warmup_epochs": 1})).protocol.plan(seed=0, samples=1000)
    assert (plan.total_steps(1000), plan.total_warmup(1000)) == (125, 62.5)


def test_a_recipe_without_a_length_is_refused() -> None:
    with pytest.raises(UserError, match="does not say how long training is; give epochs or steps"):
        read_recipe(recipe({**FINETUNE, "epochs": None}))


def test_values_of_the_other_method_are_unknown() -> None:
    with pytest.raises(UserError, match="unknown momentum"):
        read_recipe(recipe({**FINETUNE, "momentum": 0.9}))
