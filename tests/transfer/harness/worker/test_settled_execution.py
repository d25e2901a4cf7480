"""Precision and compilation that a recipe leaves to the machine are settled by the device that the run computes on."""

from pathlib import Path
from typing import Any

import pytest
import torch

from crossmae.pretraining.run import RECIPES
from crossmae.recipe import Recipe, load_recipe
from crossmae.train.config import FitExecution, compiles
from transfer.harness.worker import execute
from transfer.task import Context


@pytest.fixture
def _gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)


def recipe(**execution: Any) -> Recipe:
    return Recipe("r", "", (), {}, {"compile": "auto", "device": "auto", **execution})


def recorded(recipe: Recipe, folder: Path) -> Any:
    return execute._recipe_ref(recipe, Context(folder, None, seed=0, precision="bf16")).execution["compile"]


def test_pretraining_compiles_on_a_gpu_and_not_on_a_cpu() -> None:
    for name in sorted(path.stem for path in RECIPES.glob("*.yaml")):
        choice = load_recipe(RECIPES, name).execution["compile"]
        assert compiles(choice, "cuda") == (not name.startswith("demo")), name
        assert not compiles(choice, "cpu"), name
    switched_off = load_recipe(RECIPES, "crossmae25_vit_b16", ["compile=false"]).execution["compile"]
    assert not compiles(switched_off, "cuda")
    assert FitExecution().compile is False


def test_the_record_says_whether_a_run_was_compiled(tmp_path: Path) -> None:
    assert recorded(recipe(), tmp_path) is False
    assert recorded(recipe(compile=True), tmp_path) is True


@pytest.mark.usefixtures("_gpu")
def test_the_record_of_a_run_on_a_gpu_says_so_too(tmp_path: Path) -> None:
    assert recorded(recipe(), tmp_path) is True
    assert recorded(recipe(compile=False), tmp_path) is False


@pytest.mark.usefixtures("_gpu")
def test_a_recipe_that_keeps_to_the_cpu_has_a_cpus_precision_beside_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo's classifiers say ``device: cpu``, whatever the machine has."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    assert execute._settled_precision("auto", recipe(device="cpu")) == "fp32"
    assert execute._settled_precision("auto", recipe()) == "bf16"
    assert execute._settled_precision("bf16", recipe(device="cpu")) == "bf16"
