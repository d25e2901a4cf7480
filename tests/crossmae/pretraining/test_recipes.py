import pytest
import torch

from crossmae.model.autoencoder import MaskedAutoencoder
from crossmae.pretraining.recipe import read_recipe
from crossmae.pretraining.run import RECIPES, load_pretraining_recipe
from crossmae.train.optim import decay_groups
from results.tables.published import load_published

NAMES = sorted(path.stem for path in RECIPES.glob("*.yaml"))
PAPER = [name for name in NAMES if not name.startswith("demo")]
TABLE_1 = [
    f"{kind}_vit_{arch}" for kind in ("mae", "crossmae25", "crossmae75") for arch in ("s16", "b16", "l16", "h14")
]

GUESSES = {
    "crossmae25_softmax_400ep",
    "crossmae25_vit_b16_equal_time",
    "crossmae75_grid_400ep",
    "crossmae75_maps3_400ep",
    "crossmae75_maps6_400ep",
    "crossmae75_projection_400ep",
    "mae_448_400ep",
    "mae_iba_400ep",
}
"""Recipes in a row of the paper with a value that nobody published: each marks it."""

# prediction ratio x 1.5e-4 x 4096 / (256 x mask ratio), worked out by hand
LR_BY_RATIOS = {
    (0.75, 0.75): 2.4e-3,
    (0.75, 0.25): 8e-4,
    (0.75, 0.15): 4.8e-4,
    (0.65, 0.65): 2.4e-3,
    (0.85, 0.85): 2.4e-3,
}


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_resolves_builds_and_names_its_source(name: str) -> None:
    recipe = load_pretraining_recipe(name)
    with torch.device("meta"):
        model = MaskedAutoencoder(read_recipe(recipe, seed=0).model)

    assert recipe.source
    assert sum(len(group["params"]) for group in decay_groups(model, 0.05)) == sum(
        p.requires_grad for p in model.parameters()
    )


@pytest.mark.parametrize("name", PAPER)
def test_a_paper_recipe_trains_as_table_10_says(name: str) -> None:
    recipe = load_pretraining_recipe(name)
    chosen = read_recipe(recipe, seed=0)

    assert chosen.model.prediction_ratio is not None
    ratios = (chosen.model.mask_ratio, chosen.model.prediction_ratio)
    assert chosen.plan.lr == pytest.approx(LR_BY_RATIOS[ratios])
    assert chosen.plan.global_batch == 4096
    assert chosen.plan.warmup_epochs == {400: 20, 800: 40, 1228: 40}[int(chosen.plan.epochs or 0)]
    assert (chosen.protocol.weight_decay, chosen.protocol.betas) == (0.05, (0.9, 0.95))
    assert not chosen.protocol.upright
    assert bool(recipe.deviations) == (name in GUESSES)
    assert all("chosen here" in text or "unpublished" in text for text in recipe.deviations)


def test_equal_time_follows_from_the_published_minutes_per_epoch() -> None:
    table = load_published("crossmae_table18")
    mae, crossmae = (table.rows[row][table.columns.index("minutes per epoch")] for row in ("MAE", "CrossMAE (25 %)"))
    assert mae
    assert crossmae
    epochs = load_pretraining_recipe("crossmae25_vit_b16_equal_time").protocol["epochs"]
    assert epochs == int(800 * mae / crossmae) == 1228


def test_table_1_runs_for_800_epochs_and_the_ablations_for_400() -> None:
    epochs = {name: load_pretraining_recipe(name).protocol["epochs"] for name in PAPER}

    assert {epochs[name] for name in TABLE_1} == {800}
    assert {epochs[name] for name in PAPER if name.endswith("400ep")} == {400}


# Parameter counts of the released code, fixed position embeddings included (millions).
@pytest.mark.parametrize(
    ("name", "millions"),
    [
        ("crossmae25_vit_s16", 32.19), ("crossmae75_vit_b16", 127.29), ("crossmae75_vit_l16", 347.94),
        ("crossmae25_vit_h14", 678.49), ("mae_vit_s16", 28.33), ("mae_vit_b16", 111.91),
        ("mae_vit_l16", 329.54), ("mae_vit_h14", 657.07),
    ],
)  # fmt: skip
def test_a_model_of_table_1_has_the_released_number_of_parameters(name: str, millions: float) -> None:
    with torch.device("meta"):
        model = MaskedAutoencoder(read_recipe(load_pretraining_recipe(name), seed=0).model)
    parameters = sum(p.numel() for p in model.parameters())
    buffers = sum(b.numel() for b in model.buffers())
    assert (parameters + buffers) / 1e6 == pytest.approx(millions, abs=0.01)
