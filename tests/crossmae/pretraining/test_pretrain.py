import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import crossmae
from crossmae.backbone import Backbone
from crossmae.cli import main
from crossmae.data.demo.write import mark_generated
from crossmae.run.progress import ProgressFile
from crossmae.run.stop import EXIT_RESUME
from crossmae.weights.checkpoint import load_checkpoint

SMALL = ["global_batch=8", "steps=6", "log_every=2", "checkpoint_every=3"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    for index in range(20):
        pixels = np.random.default_rng(index).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.png")
    return folder


def command(recipe: str, data: Path, out: Path, *overrides: str) -> list[str]:
    return [
        *(sys.executable, "-m", "crossmae", "pretrain", recipe, "--out", str(out), "--data", str(data)),
        *("--device", "cpu", *SMALL, *overrides),
    ]


def run(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(arguments, capture_output=True, text=True, check=False, env=environment)


def test_a_run_leaves_a_checkpoint_a_log_and_curves_and_a_second_start_has_nothing_to_do(
    data: Path, tmp_path: Path
) -> None:
    first = run(command("demo_crossmae", data, tmp_path))
    assert first.returncode == 0, first.stderr
    weights = (tmp_path / "checkpoint" / "model.safetensors").read_bytes()

    assert load_checkpoint(tmp_path / "checkpoint").config.prediction_ratio == 0.25
    backbone = Backbone.load(tmp_path / "checkpoint")
    assert backbone.spec.arch == "vit_demo"
    assert backbone.spec.pretraining["recipe"] == "demo_crossmae"
    assert backbone.spec.pretraining["steps"] == 6
    assert [line["step"] for line in ProgressFile(tmp_path).read()] == [2, 4, 6]
    assert set(ProgressFile(tmp_path).read()[0]) >= {
        "loss",
        "lr",
        "grad_norm",
        "images_per_second",
        "waiting",
        "memory",
    }
    assert "update 6/6  loss" in (tmp_path / "log.txt").read_text()
    assert list((tmp_path / "tensorboard").iterdir())

    second = run(command("demo_crossmae", data, tmp_path))
    assert second.returncode == 0
    assert "resumed at step 6 of 6" in second.stdout
    assert (tmp_path / "checkpoint" / "model.safetensors").read_bytes() == weights

    done, curve = crossmae.pretrain("demo_crossmae", tmp_path, SMALL, data, device="cpu")
    assert done.checkpoint == tmp_path / "checkpoint"
    assert done.images_per_second is None  # nothing was left to train
    assert (tmp_path / "checkpoint" / "model.safetensors").read_bytes() == weights
    assert curve["step"].tolist() == [2, 4, 6]
    assert curve["loss"].iloc[-1] == done.metrics["loss"]


def test_images_count_as_generated_only_where_they_are(data: Path, tmp_path: Path) -> None:
    """Whatever the recipe is called: the demo's on real pictures trains on real pictures."""
    generated = Path(shutil.copytree(data, tmp_path / "generated"))
    mark_generated(generated)
    listed = tmp_path / "list.txt"
    listed.write_text("\n".join(str(path) for path in sorted(generated.glob("*.png"))))
    for number, (images, expected) in enumerate(((data, False), (generated, True), (listed, True))):
        done, _ = crossmae.pretrain("demo_crossmae", tmp_path / f"run {number}", SMALL, images, device="cpu")
        deviations = Backbone.load(done.checkpoint).spec.pretraining["deviations"]
        assert ("generated demo data" in deviations) is expected


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["demo_cross"], "no recipe 'demo_cross'; known recipes: crossmae15_400ep"),
        (["demo_mae", "model.depht=3"], "recipe demo_mae has no value 'model.depht'"),
        (["demo_mae", "model.decoder=both"], "decoder must be"),
        (["demo_mae", "steps=many"], "steps is 'many': should be a valid integer"),
        (["demo_mae", "base_lr=[1.0e-3]"], "base_lr is [0.001]: should be a valid number"),
        (["demo_mae", "precision=fp16"], "precision is 'fp16': should be 'auto', 'fp32' or 'bf16'"),
        (["demo_mae", "--data", "gone"], "no images at"),
        (["demo_mae", "--data", ".", "--out", "file"], "file: File exists"),
    ],
)
def test_a_mistake_is_one_line(
    arguments: list[str], line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    monkeypatch.setattr(sys, "argv", ["crossmae", "pretrain", "--out=run", *arguments, "dataset=none"])

    with pytest.raises(SystemExit) as ended:
        main()

    assert ended.value.code == 1
    (said,) = capsys.readouterr().err.splitlines()
    assert line in said


@pytest.mark.slow
def test_sigterm_ends_with_the_resume_code_and_another_recipe_is_then_refused(data: Path, tmp_path: Path) -> None:
    long = command("demo_mae", data, tmp_path, "steps=100000")
    process = subprocess.Popen(long, env={**os.environ, "OMP_NUM_THREADS": "1"}, stderr=subprocess.PIPE, text=True)
    try:
        while not (tmp_path / "progress.jsonl").exists():
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()

    assert process.returncode == EXIT_RESUME
    assert errors.splitlines()[-1].startswith("crossmae: stopped after update")
    changed = run(command("demo_mae", data, tmp_path, "steps=100000", "weight_decay=0.1"))
    assert changed.returncode == 1
    assert "protocol.weight_decay 0.05 -> 0.1" in changed.stderr
    assert json.loads((tmp_path / "state" / "identity.json").read_text())["protocol"]["weight_decay"] == 0.05
