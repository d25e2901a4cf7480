"""A data set, a recipe and a backbone that train in seconds."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from crossmae.backbone import Backbone
from crossmae.data.demo.scenes import SceneSource
from crossmae.recipe import Recipe, load_recipe
from segmentation.data import demo
from segmentation.recipe import RECIPES
from transfer.task import Context

STEPS = 8


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve training and five validation images in ADE20K's format."""
    root = tmp_path_factory.mktemp("data") / "ade20k"
    demo.write(root, SceneSource(0), {"training": 12, "validation": 5})
    return root


@pytest.fixture(scope="session")
def backbone() -> Backbone:
    return Backbone.load("random:vit_demo", seed=0)


@pytest.fixture(scope="session")
def small_recipe() -> Callable[..., Recipe]:
    """The demo recipe with eight steps of four images, and further overrides."""

    def build(*overrides: str) -> Recipe:
        small = ("global_batch=4", f"steps={STEPS}", "warmup_steps=2", "channels=16", "aux_channels=16")
        execution = ("checkpoint_every=3", "log_every=1", "evaluate_every=1000")
        return load_recipe(RECIPES, "ade20k_upernet_demo", [*small, *execution, *overrides])

    return build


@pytest.fixture(scope="session")
def context_in(data_root: Path) -> Callable[[Path], Context]:
    def build(folder: Path) -> Context:
        folder.mkdir(parents=True, exist_ok=True)
        return Context(folder=folder, data_root=data_root, seed=0)

    return build
