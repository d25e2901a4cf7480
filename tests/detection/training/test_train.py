"""Training: micro-batches change nothing, interruptions change nothing, a broken loss says so."""

import hashlib
import os
import pickle
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch

from crossmae.backbone import Backbone
from crossmae.errors import UserError
from crossmae.recipe import Recipe
from crossmae.run.progress import ProgressFile
from crossmae.run.stop import Stopped
from detection.training.train import train_vitdet
from transfer.task import Context

PROGRAM = Path(__file__).parents[2] / "support" / "torchrun" / "train_detector.py"

New = Callable[..., Context]
Recipes = Callable[..., Recipe]


def losses(context: Context) -> list[float]:
    return [line["loss"] for line in ProgressFile(context.folder).read()]


class StoppedAt(Context):
    """Sends the signal of a scheduler that wants its machine back, after ``iteration``."""

    def __init__(self, iteration: int, folder: Path, coco: Path) -> None:
        super().__init__(folder, coco, seed=0)
        self.iteration = iteration

    def progress(self, step: int, total: int, metrics: Mapping[str, float]) -> None:
        super().progress(step, total, metrics)
        if step == self.iteration:
            os.kill(os.getpid(), signal.SIGUSR1)


@pytest.mark.slow
def test_one_and_four_micro_batches_have_the_same_losses(
    backbone: Backbone, short_recipe: Recipes, new_context: New
) -> None:
    reported = {}
    # Adam turns the rounding of a zero gradient into steps of the learning rate, so that one is small; the warm-up is
    # short, because NMS chooses by rounding among the equal scores of an untrained detector.
    values = ("steps=20", "milestones=[15]", "lr=0.0002", "warmup_factor=1.0", "warmup_steps=1")
    for per_device in (8, 2):
        context = new_context(f"micro-{per_device}")
        recipe = short_recipe(*values, "global_batch=8", f"per_device_batch={per_device}")
        train_vitdet(backbone, recipe, context, relative_positions=True)
        reported[per_device] = losses(context)
    assert len(reported[8]) == 20
    assert reported[2][:5] == pytest.approx(reported[8][:5], rel=1e-6)
    # On another processor NMS may still choose otherwise once, which moves a loss by some 1e-4.
    assert reported[2] == pytest.approx(reported[8], rel=2e-3)


def test_a_run_interrupted_three_times_ends_as_the_uninterrupted_one(
    backbone: Backbone,
    short_recipe: Recipes,
    new_context: New,
    coco: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", logger="detection")
    whole = new_context("whole")
    expected = train_vitdet(backbone, short_recipe(), whole, relative_positions=False)
    folder = new_context("stopped").folder
    for iteration in (1, 3, 4):
        with pytest.raises(Stopped, match=f"SIGUSR1 after iteration {iteration}"):
            train_vitdet(backbone, short_recipe(), StoppedAt(iteration, folder, coco), relative_positions=False)
    again = new_context("stopped")
    metrics = train_vitdet(backbone, short_recipe(), again, relative_positions=False)
    assert [line for line in caplog.messages if line.startswith("resumed")] == [
        f"resumed at iteration {done} of 6" for done in (1, 3, 4)
    ]
    assert "Traceback" not in capfd.readouterr().err
    assert losses(again) == losses(whole)
    assert metrics == expected
    assert not (folder / "state").exists()


def stop_at(
    iteration: int, folder: Path, coco: Path, backbone: Backbone, recipe: Recipe, relative_positions: bool = False
) -> None:
    with pytest.raises(Stopped):
        train_vitdet(backbone, recipe, StoppedAt(iteration, folder, coco), relative_positions)


def test_a_damaged_state_gives_way_to_the_one_before(
    backbone: Backbone, short_recipe: Recipes, new_context: New, coco: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="detection")
    whole = new_context("whole")
    expected = train_vitdet(backbone, short_recipe(), whole, relative_positions=False)
    folder = new_context("stopped").folder
    stop_at(5, folder, coco, backbone, short_recipe("checkpoint_every=2"))
    older, newest = sorted((folder / "state").glob("step-*.pt"))
    newest.write_bytes(newest.read_bytes()[:-1000])
    again = new_context("stopped")
    assert train_vitdet(backbone, short_recipe(), again, relative_positions=False) == expected
    assert "resumed at iteration 4 of 6" in caplog.messages
    assert losses(again) == losses(whole)
    assert older.name.startswith("step-00000004")


def test_states_that_are_all_damaged_are_one_line(
    backbone: Backbone, short_recipe: Recipes, new_context: New, coco: Path
) -> None:
    folder = new_context().folder
    stop_at(1, folder, coco, backbone, short_recipe())
    for path in (folder / "state").glob("step-*.pt"):
        path.write_bytes(b"")
    with pytest.raises(UserError, match=r"none of the states in .* can be read; delete that folder") as error:
        train_vitdet(backbone, short_recipe(), new_context(), relative_positions=False)
    assert "\n" not in str(error.value)


def test_a_hostile_state_runs_nothing(
    backbone: Backbone,
    short_recipe: Recipes,
    new_context: New,
    coco: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also under the name that its content asks for, with PyTorch's switch for trusting files set."""

    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return eval, (f"open({str(tmp_path / 'ran')!r}, 'w')",)

    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    folder = new_context().folder
    stop_at(1, folder, coco, backbone, short_recipe())
    hostile = tmp_path / "hostile.pt"
    torch.save({"step": 5, "model": Evil()}, hostile)
    digest = hashlib.sha256(hostile.read_bytes()).hexdigest()[:16]
    hostile.rename(folder / "state" / f"step-00000005.{digest}.pt")
    (folder / "state" / "state.pth").write_bytes(pickle.dumps(Evil()))
    again = new_context()
    train_vitdet(backbone, short_recipe(), again, relative_positions=False)
    assert not (tmp_path / "ran").exists()
    assert len(losses(again)) == 6


def test_another_runs_state_is_one_line_that_names_the_difference(
    backbone: Backbone, short_recipe: Recipes, new_context: New, coco: Path, tmp_path: Path
) -> None:
    folder = new_context().folder
    stop_at(1, folder, coco, backbone, short_recipe())
    other_data = Path(shutil.copytree(coco, tmp_path / "coco"))
    annotations = other_data / "annotations" / "instances_train2017.json"
    annotations.write_text(annotations.read_text() + "\n")
    other_seed, elsewhere = new_context(seed=1), Context(folder, other_data, seed=0)
    other_backbone = Backbone.load("random:vit_demo", seed=1)
    for name, start in {
        "protocol": (backbone, short_recipe("lr=0.01"), new_context(), False),
        "backbone": (other_backbone, short_recipe(), new_context(), False),
        "seed": (backbone, short_recipe(), other_seed, False),
        "relative_positions": (backbone, short_recipe(), new_context(), True),
        "data": (backbone, short_recipe(), elsewhere, False),
    }.items():
        with pytest.raises(UserError, match=f"{folder} was started with another recipe: {name} ") as error:
            train_vitdet(*start)
        assert "\n" not in str(error.value)
    moved = new_context("moved").folder
    shutil.copytree(folder / "state", moved / "state")
    (moved / "state" / "identity.json").unlink()
    with pytest.raises(UserError, match="holds the state of another run") as error:
        train_vitdet(backbone, short_recipe(), new_context("moved"), relative_positions=True)
    assert "\n" not in str(error.value)


@pytest.mark.slow
def test_two_processes_have_the_losses_of_one(
    backbone: Backbone, short_recipe: Recipes, new_context: New, coco: Path
) -> None:
    short = ("steps=4", "milestones=[3]", "warmup_steps=1", "warmup_factor=1.0", "log_every=1")
    values = (*short, "lr=0.0002", "global_batch=8")
    alone, together = new_context("alone"), new_context("together")
    train_vitdet(backbone, short_recipe(*values), alone, relative_positions=True)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(PROGRAM)]
    options = [*values, "per_device_batch=2"]
    done = subprocess.run([*command, str(coco), str(together.folder), *options], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert losses(together) == pytest.approx(losses(alone), rel=1e-4)


def test_a_run_killed_after_training_only_evaluates(
    backbone: Backbone, short_recipe: Recipes, new_context: New, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = new_context()
    with monkeypatch.context() as patch:
        patch.setattr("detection.evaluation.metrics.evaluate", _interrupted)
        with pytest.raises(KeyboardInterrupt):
            train_vitdet(backbone, short_recipe(), context, relative_positions=False)
    before = (context.folder / "progress.jsonl").read_bytes()
    train_vitdet(backbone, short_recipe(), context, relative_positions=False)
    assert (context.folder / "progress.jsonl").read_bytes() == before


def _interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_loss_that_is_not_finite_is_one_line(
    backbone: Backbone, short_recipe: Recipes, new_context: New, capfd: pytest.CaptureFixture[str]
) -> None:
    recipe = short_recipe("lr=1.0e+12", "clip_grad=null", "warmup_factor=1.0")
    with pytest.raises(UserError, match="training diverged at iteration 2 ") as error:
        train_vitdet(backbone, recipe, new_context(), relative_positions=False)
    assert "\n" not in str(error.value)
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.slow
def test_bf16_with_recomputed_activations_and_fused_attention_trains_alike(
    backbone: Backbone, short_recipe: Recipes, new_context: New
) -> None:
    plain, other = new_context("plain"), new_context("other")
    other.precision = "bf16"
    train_vitdet(backbone, short_recipe(), plain, relative_positions=True)
    train_vitdet(
        backbone, short_recipe("activation_checkpointing=true", "attention=fused"), other, relative_positions=True
    )
    assert losses(other) == pytest.approx(losses(plain), rel=0.15)
    assert losses(other) != losses(plain)
    assert other.deviations == ["bf16 in place of fp16 mixed precision"]
