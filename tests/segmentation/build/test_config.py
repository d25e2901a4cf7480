"""The published UperNet-B, value by value; the other sizes; recipes and native configs say the same."""

from pathlib import Path

import pytest
from mmengine.config import Config

import segmentation
from crossmae.backbone import Backbone, BackboneSpec
from crossmae.errors import UserError
from crossmae.recipe import load_recipe
from segmentation.build.compare import PUBLISHED, differences, main
from segmentation.build.config import upernet
from segmentation.recipe import read_recipe

ROOM = Path(segmentation.__file__).parent
SIZES = {
    "vit_s16": (384, 12, 6, 16),
    "vit_b16": (768, 12, 12, 16),
    "vit_l16": (1024, 24, 16, 16),
    "vit_h14": (1280, 32, 16, 14),
}


def spec_of(size: str) -> BackboneSpec:
    dim, depth, heads, patch = SIZES[size]
    return BackboneSpec(size, dim, depth, heads, patch, 224, 4.0, True, 0, False, False, "test")


def native(size: str) -> Config:
    return Config.fromfile(ROOM / "configs" / f"upernet_{size}.py")


def test_every_value_of_the_published_config() -> None:
    """Nothing differs but names of files, and what mmengine does not read."""
    listed = differences(Config.fromfile(PUBLISHED), native("vit_b16"))
    assert {difference.key for difference in listed} == {
        "data_root",
        "fp16.loss_scale",  # read by nothing
        "model.pretrained",
        "test_dataloader.dataset.data_root",
        "train_dataloader.dataset.data_root",
        "val_dataloader.dataset.data_root",
    }
    assert all(difference.reason for difference in listed)


def test_the_table_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    main()
    printed = capsys.readouterr().out
    assert "fp16.loss_scale" in printed
    assert "how the published model was trained is not known" in printed
    assert all(f"\n{key} " in printed for key in ("data_preprocessor.", "optimizer.", "tta_", "img_ratios"))


def test_a_changed_value_is_listed() -> None:
    changed = native("vit_b16")
    changed.optim_wrapper.paramwise_cfg.layer_decay_rate = 0.75
    changed.train_dataloader.dataset.pipeline[3].cat_max_ratio = 1.0
    listed = differences(native("vit_b16"), changed)
    assert [(d.key, d.published, d.ours) for d in listed] == [
        ("optim_wrapper.paramwise_cfg.layer_decay_rate", 0.65, 0.75),
        ("train_dataloader.dataset.pipeline.3.cat_max_ratio", 0.75, 1.0),
    ]


@pytest.mark.parametrize("size", SIZES)
def test_recipe_and_native_config_agree(size: str) -> None:
    recipe = load_recipe(ROOM / "recipes", f"ade20k_upernet_{size}")
    built = upernet(read_recipe(recipe).protocol, spec_of(size), Path("data/ade20k"))
    listed = differences(native(size), built)
    # A run's loader holds a whole update's images; the native one an eighth of them, for eight GPUs.
    assert {d.key: (d.published, d.ours) for d in listed if d.key != "model.pretrained" and d.key != "work_dir"} == {
        "train_dataloader.batch_size": (2, 16),
    }


def test_demos_recipe_and_native_config_agree() -> None:
    recipe = load_recipe(ROOM / "recipes", "ade20k_upernet_demo")
    names = ("background", "trouser", "dress", "sneaker", "bag")
    built = upernet(
        read_recipe(recipe).protocol, Backbone.load("random:vit_demo").spec, Path("data/demo/ade20k"), names
    )
    listed = {d.key: (d.published, d.ours) for d in differences(native("demo"), built)}
    # How often to save and validate is a recipe's execution and no part of its protocol.
    intervals = {key for key in listed if key.endswith("interval")}
    assert set(listed) - intervals == {"model.pretrained"}


@pytest.mark.parametrize("size", [size for size in SIZES if size != "vit_b16"])
def test_derived_recipes_say_so(size: str) -> None:
    recipe = load_recipe(ROOM / "recipes", f"ade20k_upernet_{size}")
    assert "derived" in recipe.source
    assert any("derived" in text for text in recipe.deviations)


def test_published_recipe_deviates_from_nothing() -> None:
    assert load_recipe(ROOM / "recipes", "ade20k_upernet_vit_b16").deviations == ()


@pytest.mark.parametrize("name", ["demo", "quick"])
def test_short_recipes_say_so(name: str) -> None:
    assert any("iterations" in text for text in load_recipe(ROOM / "recipes", f"ade20k_upernet_{name}").deviations)


def test_blocks_must_exist() -> None:
    recipe = load_recipe(ROOM / "recipes", "ade20k_upernet_vit_l16")
    with pytest.raises(UserError, match=r"12 blocks.*vit_b16"):
        upernet(read_recipe(recipe).protocol, spec_of("vit_b16"), Path())


def test_a_schedule_that_ends_in_its_warm_up_is_refused() -> None:
    recipe = load_recipe(ROOM / "recipes", "ade20k_upernet_demo", ["steps=20"])
    with pytest.raises(UserError, match=r"steps \(20\) must be larger than warmup_steps \(20\)"):
        read_recipe(recipe)
