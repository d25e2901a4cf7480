"""The analyses as tasks of the benchmark."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from crossmae import Backbone, MaskedAutoencoder, UserError
from crossmae.data.demo.scenes import SceneSource
from crossmae.model.presets import preset_config
from crossmae.weights.checkpoint import save_checkpoint
from transfer.harness.plan.tasks import load_specs, recipe_of
from transfer.harness.worker.adapter import load_adapter
from transfer.task import Context


@pytest.fixture
def context(tmp_path: Path) -> Context:
    (tmp_path / "data" / "val" / "n01").mkdir(parents=True)
    for index, scene in enumerate(SceneSource(0).draw("analysis", "val", 5)):
        Image.fromarray(scene.image).save(tmp_path / "data" / "val" / "n01" / f"{index}.png")
    (tmp_path / "run").mkdir()
    return Context(tmp_path / "run", tmp_path / "data", seed=0)


@pytest.mark.parametrize("name", ["attention", "psnr"])
@pytest.mark.parametrize("decoder", ["cross", "self"])
def test_an_analysis_returns_its_metrics_and_leaves_pictures(
    name: str, decoder: str, context: Context, tmp_path: Path
) -> None:
    save_checkpoint(MaskedAutoencoder(preset_config("vit_demo", decoder=decoder)), tmp_path / "checkpoint")
    spec = load_specs()[name]
    metrics = load_adapter(spec).run(Backbone.load(tmp_path / "checkpoint"), recipe_of(spec, "demo"), context)
    assert set(spec.metrics) <= set(metrics)
    assert context.artifacts
    assert all((context.folder / path).stat().st_size > 0 for path in context.artifacts.values())
    if name == "attention":
        assert {"to_visible_block1", "to_masked_block2", "to_visible_sum"} <= set(metrics)
    else:
        assert pd.read_csv(context.folder / "per_sample.csv")["psnr"].mean() == pytest.approx(metrics["psnr"], rel=1e-4)


def test_fewer_images_can_be_asked_for(context: Context, tmp_path: Path) -> None:
    save_checkpoint(MaskedAutoencoder(preset_config("vit_demo")), tmp_path / "checkpoint")
    spec = load_specs()["psnr"]
    recipe = recipe_of(spec, "demo", ("images=2",))
    load_adapter(spec).run(Backbone.load(tmp_path / "checkpoint"), recipe, context)
    assert len(pd.read_csv(context.folder / "per_sample.csv")) == 2
    assert recipe_of(spec, "vit_b16").protocol["images"] is None


def test_a_backbone_without_decoder_is_one_line(context: Context) -> None:
    spec = load_specs()["attention"]
    with pytest.raises(UserError, match="no decoder"):
        load_adapter(spec).run(Backbone.load("random:vit_demo"), recipe_of(spec, "demo"), replace(context))
