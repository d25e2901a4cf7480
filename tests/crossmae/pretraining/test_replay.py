"""An update that was not finite leaves enough to be repeated, and the repetition names where it began."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torch import Tensor, nn
from typer.testing import CliRunner

from crossmae.cli import app
from crossmae.errors import UserError
from crossmae.model.attention import SelfAttention
from crossmae.pretraining.run import load_pretraining_recipe, pretrain, replay
from crossmae.pretraining.workload import Autoencoding

SMALL = ("global_batch=4", "per_device_batch=2", "steps=4", "warmup_steps=0", "log_every=1", "checkpoint_every=10")
SIZES = "image_size: 32, embed_dim: 16, depth: 9, num_heads: 2, decoder_embed_dim: 16, decoder_num_heads: 2"
MODEL = (f"model={{preset: vit_demo, {SIZES}}}", "in_memory=false", "precision=fp32")
LARGE = 1e30
"""Of a weight, whose square no product in fp32 can hold."""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for index in range(6):
        pixels = np.random.default_rng(index).integers(0, 256, (40, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.png")
    return folder


def fail(data: Path, folder: Path) -> None:
    recipe = load_pretraining_recipe("demo_mae", (*SMALL, *MODEL))
    with pytest.raises(UserError, match=r"not finite in update 1 of 4.*crossmae replay"):
        pretrain(recipe, data, folder, 0, lambda *_: None, "cpu")


def plant(monkeypatch: pytest.MonkeyPatch, fault: Callable[[SelfAttention, Tensor], Tensor]) -> None:
    """Has the attention of block 7 go wrong from the second update on, which begins with its third micro-batch."""
    build, calls = Autoencoding.model, []

    def model(self: Autoencoding) -> nn.Module:
        built = build(self)
        attention = built.get_submodule("encoder.blocks.7.attn")
        assert isinstance(attention, SelfAttention)
        forward = attention.forward

        def faulty(tokens: Tensor) -> Tensor:
            calls.append(1)
            output = forward(tokens)
            return fault(attention, output) if len(calls) > 2 else output

        attention.forward = faulty  # type: ignore[method-assign]
        return built

    monkeypatch.setattr(Autoencoding, "model", model)


def test_a_planted_nan_in_the_attention_of_block_7_is_found_there(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch, lambda _, output: output * float("nan"))
    fail(data, tmp_path / "run")
    (line,) = replay(tmp_path / "run", "cpu")
    assert line.startswith("update 1, step-00000001.rank-0.pt: first not finite is the output of encoder.blocks.7.attn")


def test_weights_that_grew_too_large_for_attention_are_found_there(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def grow(attention: SelfAttention, output: Tensor) -> Tensor:
        attention.qkv.weight.data.fill_(LARGE)
        return output * float("nan")

    plant(monkeypatch, grow)
    fail(data, tmp_path / "run")
    monkeypatch.undo()
    (data / "0.png").unlink()  # the images are not needed
    printed = CliRunner().invoke(app, ["replay", str(tmp_path / "run"), "--device", "cpu"])
    assert printed.exit_code == 0, printed.output
    assert "an input of encoder.blocks.7.attn.proj (Linear)" in printed.output


def test_a_folder_without_evidence_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds nothing to replay"):
        replay(tmp_path)
