"""Training: micro-batches change nothing, interruptions change nothing, a broken loss says so."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from crossmae.backbone import Backbone
from crossmae.errors import UserError
from crossmae.recipe import Recipe
from crossmae.run.progress import ProgressFile
from crossmae.run.stop import Stopped
from detection.run import train_vitdet
from transfer.task import Context

PROGRAM = Path(__file__).with_name("train_in_processes.py")

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


def test_one_and_four_micro_batches_have_the_same_losses(
    backbone: Backbone, short_recipe: Recipes, new_context: New
) -> None:
    found = {}
    # Adam turns the rounding of a zero gradient into steps of the learning rate, so that one is small; the warm-up is
    # short, because NMS chooses by rounding among the equal scores of an untrained detector.
    values = ("iterations=20", "milestones=[15]", "learning_rate=0.0002", "warmup_factor=1.0", "warmup_iterations=1")
    for per_device in (8, 2):
        context = new_context(f"micro-{per_device}")
        recipe = short_recipe(*values, "batch_size=8", f"per_device_batch={per_device}")
        train_vitdet(backbone, recipe, context, relative_positions=True)
        found[per_device] = losses(context)
    assert len(found[8]) == 20
    assert found[2][:5] == pytest.approx(found[8][:5], rel=1e-6)
    # On another processor NMS may still choose otherwise once, which moves a loss by some 1e-4.
    assert found[2] == pytest.approx(found[8], rel=2e-3)


def test_a_run_interrupted_three_times_ends_as_the_uninterrupted_one(
    backbone: Backbone, short_recipe: Recipes, new_context: New, coco: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    whole = new_context("whole")
    expected = train_vitdet(backbone, short_recipe(), whole, relative_positions=False)
    folder = new_context("stopped").folder
    for iteration in (1, 3, 4):
        with pytest.raises(Stopped, match=f"SIGUSR1 after iteration {iteration}"):
            train_vitdet(backbone, short_recipe(), StoppedAt(iteration, folder, coco), relative_positions=False)
    again = new_context("stopped")
    metrics = train_vitdet(backbone, short_recipe(), again, relative_positions=False)
    output = capfd.readouterr()
    assert [f"resumed at iteration {done} of 6" in output.out for done in (1, 3, 4)] == [True] * 3
    assert "Traceback" not in output.err
    assert losses(again) == losses(whole)
    assert metrics == expected
    assert not (folder / "state").exists()


@pytest.mark.slow
def test_two_processes_have_the_losses_of_one(
    backbone: Backbone, short_recipe: Recipes, new_context: New, coco: Path
) -> None:
    short = ("iterations=4", "milestones=[3]", "warmup_iterations=1", "warmup_factor=1.0", "log_every=1")
    values = (*short, "learning_rate=0.0002", "batch_size=8")
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
        patch.setattr("detection.run.evaluate", _interrupted)
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
    recipe = short_recipe("learning_rate=1.0e+12", "clip_norm=null", "warmup_factor=1.0")
    with pytest.raises(UserError, match="training diverged at iteration 2 ") as error:
        train_vitdet(backbone, recipe, new_context(), relative_positions=False)
    assert "\n" not in str(error.value)
    assert "Traceback" not in capfd.readouterr().err


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
