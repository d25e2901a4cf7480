"""A mistake in a recipe is one line that names it, in every task, before anything starts."""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from crossmae.errors import UserError
from crossmae.recipe import Recipe
from tests.support.bench import Bench
from transfer.harness.plan.tasks import load_specs, recipe_of
from transfer.harness.worker.adapter import load_adapter

SPECS = load_specs()
PRETRAINING = dict.fromkeys(("pretrain", "speed"), "demo_crossmae")
"""Recipes of the tasks that have none called demo."""
OWN_DATA = ("imagefolder", "multilabel", "coco_format", "masks")
"""Begins the names of tasks for any data, whose smallest recipe is called small."""


def misspelt_protocol(recipe: Recipe) -> tuple[Recipe, str]:
    return replace(recipe, protocol={**recipe.protocol, "stepz": 3}), " has unknown stepz"


def misspelt_execution(recipe: Recipe) -> tuple[Recipe, str]:
    return replace(recipe, execution={**recipe.execution, "workerz": 3}), " has unknown workerz"


def missing(recipe: Recipe) -> tuple[Recipe, str]:
    protocol = {key: value for key, value in recipe.protocol.items() if key != "global_batch"}
    return replace(recipe, protocol=protocol), " lacks global_batch"


def wrong_type(recipe: Recipe) -> tuple[Recipe, str]:
    key = next(key for key in ("steps", "epochs", "images", *recipe.protocol) if key in recipe.protocol)
    return replace(recipe, protocol={**recipe.protocol, key: "many"}), f": {key} is 'many'"


Mistake = Callable[[Recipe], tuple[Recipe, str]]
MISTAKES: tuple[Mistake, ...] = (misspelt_protocol, misspelt_execution, missing, wrong_type)


def recipe_for(task: str) -> Recipe:
    return recipe_of(SPECS[task], PRETRAINING.get(task, "small" if task.startswith(OWN_DATA) else "demo"))


def cases() -> Iterator[tuple[str, Mistake]]:
    """Yields every task with every mistake; recipes of analyses need no value, so they may lack any."""
    for task in SPECS:
        yield from ((task, mistake) for mistake in MISTAKES if mistake is not missing or requires_batch(task))


def requires_batch(task: str) -> bool:
    return "global_batch" in recipe_for(task).protocol


@pytest.mark.parametrize(("task", "mistake"), cases())
def test_every_task_refuses_it_in_one_line(task: str, mistake: Mistake) -> None:
    for engine in SPECS[task].engine:
        pytest.importorskip(engine)
    recipe = recipe_for(task)
    adapter = load_adapter(SPECS[task])
    adapter.check_recipe(recipe)
    wrong, message = mistake(recipe)
    with pytest.raises(UserError, match=rf"^[^\n]*recipe {recipe.name}{message}[^\n]*$"):
        adapter.check_recipe(wrong)


ONE_PER_ENGINE: dict[str, Mistake] = {
    "pretrain": missing,
    "imagenet_finetune": wrong_type,
    "coco_vitdet": misspelt_protocol,
    "ade20k_upernet": misspelt_execution,
    "psnr": misspelt_protocol,
}


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.end()


@pytest.mark.slow
def test_the_command_names_one_mistake_per_engine_and_starts_nothing(bench: Bench) -> None:
    messages, tasks = {}, {}
    for task, mistake in ONE_PER_ENGINE.items():
        for engine in SPECS[task].engine:
            pytest.importorskip(engine)
        recipe, message = mistake(recipe_for(task))
        written: dict[str, Any] = {key: value for key, value in asdict(recipe).items() if key != "name"}
        (bench.folder / f"{task}_wrong.yaml").write_text(json.dumps(written))
        tasks[task] = str(bench.folder / f"{task}_wrong.yaml")
        messages[task] = f"recipe {task}_wrong{message}"
    content = bench.suite_content({task: path for task, path in tasks.items() if task != "pretrain"})
    content["backbones"]["ours"] = {"pretrain": tasks["pretrain"], "tasks": []}
    bench.write_suite(content)
    code, output = bench.run("--dry-run")
    assert code == 1, output
    lines = output.splitlines()
    assert {task: sum(message in line for line in lines) for task, message in messages.items()} == dict.fromkeys(
        messages, 1
    ), output
    assert not list((bench.folder / "out").glob("*/*/*"))
