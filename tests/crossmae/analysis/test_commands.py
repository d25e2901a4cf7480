"""The commands that look into a checkpoint."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from crossmae import Backbone, MaskedAutoencoder
from crossmae.cli import app
from crossmae.data.demo.scenes import SceneSource
from crossmae.errors import UserError
from crossmae.model.presets import preset_config
from crossmae.weights.checkpoint import save_checkpoint


def crossmae(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)


@pytest.fixture
def mae(tmp_path: Path) -> Path:
    save_checkpoint(MaskedAutoencoder(preset_config("vit_demo", decoder="self")), tmp_path / "mae")
    return tmp_path / "mae"


@pytest.fixture
def images(tmp_path: Path) -> Path:
    (tmp_path / "val").mkdir()
    for index, scene in enumerate(SceneSource(0).draw("commands", "val", 6)):
        Image.fromarray(scene.image).save(tmp_path / "val" / f"{index}.png")
    Image.fromarray(np.zeros((90, 120), dtype=np.uint8)).save(tmp_path / "val" / "grey.png")
    return tmp_path


def test_attention_prints_a_row_per_block_and_the_sum(mae: Path, images: Path, tmp_path: Path) -> None:
    printed = crossmae("attention", mae, "--data", images, "--out", tmp_path / "figures").output.splitlines()
    assert printed[0].split("  ") == ["decoder block", "to visible", "to masked"]
    rows = [line.split() for line in printed[1:4]]
    assert [row[0] for row in rows] == ["1", "2", "sum"]
    assert float(rows[2][1]) == pytest.approx(float(rows[0][1]) + float(rows[1][1]), abs=0.002)
    assert (tmp_path / "figures" / "attention.svg").stat().st_size > 0


def test_inter_block_weights_are_drawn_for_crossmae(images: Path, tmp_path: Path) -> None:
    save_checkpoint(MaskedAutoencoder(preset_config("vit_demo")), tmp_path / "cross")
    crossmae("attention", tmp_path / "cross", "--data", images, "--out", tmp_path / "figures")
    assert (tmp_path / "figures" / "inter_block_weights.svg").stat().st_size > 0


def test_reconstruct_writes_a_picture_and_psnr_a_number(mae: Path, images: Path, tmp_path: Path) -> None:
    crossmae("reconstruct", mae, "--data", images, "--out", tmp_path / "pictures" / "r.png", "--images", 3)
    assert Image.open(tmp_path / "pictures" / "r.png").size == (64 * 3 + 4, 64 * 3 + 4)
    first, again = (crossmae("psnr", mae, "--data", images).output for _ in range(2))
    assert "over 7 images" in first
    assert first == again


def test_info_says_what_a_backbone_is(tmp_path: Path) -> None:
    Backbone.load("random:vit_demo").save(tmp_path / "backbone")
    for source in ("random:vit_demo", f"{tmp_path}/backbone"):
        printed = crossmae("info", source).output
        assert "embed_dim: 128" in printed
        assert f"digest {Backbone.load(source).digest}" in printed


def test_info_names_what_is_wrong_with_a_source(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="vit_nothing"):
        crossmae("info", "random:vit_nothing")
    with pytest.raises(UserError, match="no option 'depth'"):
        crossmae("info", "random:vit_demo", "depth=3")


def test_info_prints_parameters_and_cost(mae: Path) -> None:
    assert "visible 16, predicted 48" in crossmae("info", mae).output
    printed = crossmae("info", "vit_b16", "decoder=self").output
    assert "visible 49, predicted 147" in printed
    assert "decoder GFLOPs: 10.551" in printed
    assert "decoder parameters: 26,008,320 trainable, 100,864 fixed" in printed


def test_export_writes_what_backbones_are_loaded_from(mae: Path, tmp_path: Path) -> None:
    crossmae("export", mae, "hf-vit", tmp_path / "vit")
    assert Backbone.load(f"hf:{tmp_path / 'vit'}").digest == Backbone.load(mae).digest


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("info", "vit_b16", "decoder"), "key=value"),
        (("info", "vit_b16", "depth=0"), "depth"),
        (("info", "vit_b16", "depth=["), "cannot be read"),
        (("info", "vit_b16", "preset=vit_l16"), "unknown model option preset"),
        (("attention", "nothing", "--data", "."), "no weight file nothing"),
        (("export", "nothing", "gguf", "out"), "the formats are"),
        (("export", "random:vit_demo", "onnx", "out"), "written to an .onnx"),
    ],
)
def test_mistakes_are_told_in_one_line(arguments: tuple[str, ...], says: str) -> None:
    with pytest.raises(UserError, match=says):
        crossmae(*arguments)
