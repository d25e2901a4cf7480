"""Fifty updates of a tiny CrossMAE against a committed file; ``python test_golden.py`` writes it anew."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from crossmae.pretraining.run import pretrain
from crossmae.recipe import load_recipe
from crossmae.run.progress import ProgressFile
from crossmae.weights.checkpoint import load_checkpoint

HERE = Path(__file__).parent / "golden"
TOLERANCE = 2e-4
"""Greatest relative difference of a loss: fp32 sums in another order, grown over fifty updates."""


def write_images(folder: Path) -> Path:
    """Forty images of 40 x 36 pixels: a coloured gradient with a disc."""
    folder.mkdir()
    rows, columns = np.mgrid[:36, :40] / 40
    for index in range(40):
        x, y, size, *colours = np.random.default_rng(index).random(9)
        image = np.stack([c * rows + d * columns for c, d in zip(colours[:3], colours[3:], strict=True)], -1) * 0.5
        image[(rows - y) ** 2 + (columns - x) ** 2 < 0.1 * size + 0.01] += 0.5
        Image.fromarray((image * 255).clip(0, 255).astype(np.uint8)).save(folder / f"{index:02d}.png")
    return folder


def losses(folder: Path) -> list[float]:
    return [line["loss"] for line in ProgressFile(folder).read()]


def run(data: Path, folder: Path, *overrides: str) -> list[float]:
    recipe = load_recipe(HERE, "tiny", overrides)
    folder.mkdir()
    pretrain(recipe, data, folder, seed=0, progress=ProgressFile(folder).write, device="cpu")
    return losses(folder)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("golden") / "images")


@pytest.fixture(scope="module")
def golden() -> list[float]:
    expected: list[float] = json.loads((HERE / "losses.json").read_text())
    return expected


@pytest.fixture(scope="module")
def alone(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("golden") / "alone"
    run(data, folder)
    return folder


def prediction(folder: Path) -> torch.Tensor:
    model = load_checkpoint(folder / "checkpoint").eval()
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    noise = torch.rand(4, 16, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return model(images, noise=noise).prediction


def test_one_process_gives_the_golden_losses(alone: Path, golden: list[float]) -> None:
    assert losses(alone) == pytest.approx(golden, rel=TOLERANCE)
    assert golden[-1] < golden[0] - 0.1


def test_accumulated_updates_give_the_golden_losses_and_the_same_model(
    data: Path, alone: Path, golden: list[float], tmp_path: Path
) -> None:
    assert run(data, tmp_path / "run", "per_device_batch=4") == pytest.approx(golden, rel=TOLERANCE)
    torch.testing.assert_close(prediction(tmp_path / "run"), prediction(alone), rtol=1e-2, atol=2e-3)


# Compilation takes two minutes, so that it is here alone, where more can go wrong than on one process.
@pytest.mark.slow
@pytest.mark.parametrize("override", ["workers=1", "compile=true"])
def test_two_processes_give_the_golden_losses_and_the_same_model(
    data: Path, alone: Path, golden: list[float], tmp_path: Path, override: str
) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "crossmae"]
    arguments: list[str | Path] = [
        "pretrain",
        HERE / "tiny.yaml",
        "--out",
        tmp_path / "run",
        "--data",
        data,
        "--device",
        "cpu",
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([*command, *arguments, override], check=True, env=environment, capture_output=True)

    assert losses(tmp_path / "run") == pytest.approx(golden, rel=TOLERANCE)
    torch.testing.assert_close(prediction(tmp_path / "run"), prediction(alone), rtol=1e-2, atol=2e-3)


if __name__ == "__main__":
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as work:
        values = run(write_images(Path(work) / "images"), Path(work) / "run")
    (HERE / "losses.json").write_text(json.dumps([round(value, 7) for value in values], indent=1) + "\n")
