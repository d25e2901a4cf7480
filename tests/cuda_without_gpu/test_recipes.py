"""Every kind of pretraining recipe takes its updates on a GPU without making the host wait, and within 80 GB."""

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from crossmae.pretraining.recipe import read_recipe
from crossmae.pretraining.run import RECIPES, load_pretraining_recipe

GIB = 2**30
NO_RECIPES = {"paper", "paper_400ep", "demo"}
"""Bases of others."""
ALL = sorted({path.stem for path in RECIPES.glob("*.yaml")} - NO_RECIPES)
WHOLE = ["crossmae25_vit_b16", "mae_vit_b16"]
WHOLE_SLOW = [f"{method}_{size}" for size in ("vit_l16", "vit_h14") for method in ("mae", "crossmae75")]
"""CrossMAE at 25 % is CrossMAE at 75 % with fewer mask tokens."""
VARIANTS = [
    *("crossmae75_selfattention_400ep", "crossmae75_projection_400ep", "mae_iba_400ep"),
    *("crossmae_mask65_400ep", "crossmae_mask85_400ep", "crossmae25_448_400ep", "mae_448_400ep"),
    *("crossmae75_vit_s16", "mae_vit_s16"),
]
"""Every other recipe is one of all these with fewer mask tokens, feature maps or decoder blocks, or the demo's."""


def updates_of(recipes: list[str], extent: str, library: Path) -> dict[str, dict[str, Any]]:
    command = [sys.executable, "-m", "tests.cuda_without_gpu.shapes", str(library), extent, *recipes]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    updates: dict[str, dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return updates


def structure(recipe: str) -> str:
    """What decides which operations an update has: the model's choices, whatever its sizes."""
    model = read_recipe(load_pretraining_recipe(recipe), seed=0).model
    kinds = {
        name: value if isinstance(value, bool | str | None) else type(value).__name__
        for name, value in asdict(model).items()
    }
    return repr((kinds, model.prediction_ratio == model.mask_ratio, model.num_maps == 1))


FIRST_OF_A_KIND = sorted({structure(recipe): recipe for recipe in reversed(ALL)}.values())
"""A recipe for each structure: the others have the same operations, of other sizes."""


def test_the_host_never_waits_within_an_update(guard_library: Path) -> None:
    updates = updates_of(FIRST_OF_A_KIND, "shallow", guard_library)
    assert {recipe: update["waits"] for recipe, update in updates.items() if update["waits"]} == {}
    assert len(updates) == len(FIRST_OF_A_KIND) > 5


@pytest.mark.slow
def test_vit_b_fits_a_gpu_of_80_gb(guard_library: Path) -> None:
    updates = updates_of(WHOLE, "whole", guard_library)
    for recipe, update in updates.items():
        assert update["micro_batch"] == 512, recipe
        assert 10 * GIB < update["peak"] < 72 * GIB, recipe
    # The paper's point: fewer mask tokens, less memory.
    assert updates["crossmae25_vit_b16"]["peak"] < 0.8 * updates["mae_vit_b16"]["peak"]


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("recipe", WHOLE_SLOW)
def test_larger_vits_fit_a_gpu_of_80_gb(recipe: str, guard_library: Path) -> None:
    assert updates_of([recipe], "whole", guard_library)[recipe]["peak"] < 72 * GIB


@pytest.mark.slow
@pytest.mark.long
def test_variants_fit_a_gpu_of_80_gb(guard_library: Path) -> None:
    updates = updates_of(VARIANTS, "whole", guard_library)
    assert {recipe: update["peak"] for recipe, update in updates.items() if update["peak"] >= 72 * GIB} == {}
    assert len(updates) == len(VARIANTS)
