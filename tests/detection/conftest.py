"""A small demo COCO folder and a recipe of a few iterations, for every test of detection."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from crossmae.backbone import Backbone
from crossmae.data.demo.scenes import SceneSource
from crossmae.recipe import Recipe, load_recipe
from detection.data.demo import write_demo
from detection.recipe import RECIPES
from transfer.task import Context, TaskSpec


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def coco(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """48 training and 9 validation scenes in COCO's format, with crowds."""
    folder = tmp_path_factory.mktemp("data") / "coco"
    write_demo(folder, SceneSource(), {"train": 48, "val": 9}, crowds=0.4)
    return folder


@pytest.fixture(scope="session")
def backbone() -> Backbone:
    """The demo's ViT with initial weights."""
    return Backbone.load("random:vit_demo")


@pytest.fixture(scope="session")
def spec() -> TaskSpec:
    """The task as its YAML names it."""
    metrics = ("box_ap", "mask_ap")
    return TaskSpec("coco_vitdet", 1, "ViTDet", "detection.task:ViTDetTask", "coco", metrics, "detection")


@pytest.fixture(scope="session")
def short_recipe() -> Callable[..., Recipe]:
    """The demo's recipe over 6 iterations of 4 images, with ``key=value`` overrides."""
    short = ("steps=6", "global_batch=4", "milestones=[5]", "warmup_steps=2", "log_every=1", "drawn_images=2")
    return lambda *overrides: load_recipe(RECIPES, "coco_vitdet_demo", (*short, *overrides))


@pytest.fixture
def new_context(tmp_path: Path, coco: Path) -> Callable[..., Context]:
    """Contexts of runs, each in a folder of its own."""

    def make(name: str = "run", seed: int = 0) -> Context:
        (tmp_path / name).mkdir(exist_ok=True)
        return Context(tmp_path / name, coco, seed)

    return make
