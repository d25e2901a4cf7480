"""Real training with mmengine's Runner: interruptions, micro-batches, precision, what a run leaves."""

import os
import shutil
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from PIL import Image

from crossmae.backbone import Backbone
from crossmae.errors import UserError
from crossmae.recipe import Recipe
from crossmae.run.progress import ProgressFile
from crossmae.run.stop import Stopped
from segmentation.run import train
from segmentation.training.loop import PeakLogProcessor
from transfer.task import Context

STEPS = 8

Recipes = Callable[..., Recipe]
Contexts = Callable[[Path], Context]


@dataclass(frozen=True)
class Uninterrupted:
    context: Context
    metrics: dict[str, float]
    losses: list[float]


class Interrupted(Context):
    """A run that something happens to at a given step."""

    def at(self, step: int, event: Callable[[], None]) -> "Interrupted":
        self.step, self.event = step, event
        return self

    def progress(self, step: int, total: int, metrics: Mapping[str, float]) -> None:
        super().progress(step, total, metrics)
        if step == self.step and "loss" in metrics:
            self.event()


def interrupted(context: Context, step: int, event: Callable[[], None]) -> Interrupted:
    return Interrupted(folder=context.folder, data_root=context.data_root, seed=context.seed).at(step, event)


def losses(folder: Path) -> list[float]:
    return [line["loss"] for line in ProgressFile(folder).read() if "loss" in line]


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def crash() -> None:
    raise RuntimeError("power failure")


@pytest.fixture(scope="module")
def uninterrupted(
    tmp_path_factory: pytest.TempPathFactory, backbone: Backbone, small_recipe: Recipes, context_in: Contexts
) -> Uninterrupted:
    context = context_in(tmp_path_factory.mktemp("uninterrupted"))
    metrics = train(backbone, small_recipe(), context)
    return Uninterrupted(context, metrics, losses(context.folder))


def test_a_run_measures_and_leaves_what_the_report_needs(uninterrupted: Uninterrupted) -> None:
    context, folder = uninterrupted.context, uninterrupted.context.folder
    assert set(uninterrupted.metrics) == {"miou", "aacc", "macc", "miou_foreground"}
    assert 0 < uninterrupted.metrics["aacc"] < 100
    assert context.throughput is not None
    assert context.throughput > 0
    assert len(uninterrupted.losses) == STEPS
    assert context.deviations == ["batch norm per process instead of synchronized"]
    pictures = [path for name, path in context.artifacts.items() if name.startswith("prediction_")]
    assert len(pictures) == 5
    assert Image.open(folder / pictures[0]).size == (3 * 64 + 8, 64)
    assert (folder / "per_sample.csv").read_text().startswith("miou,aacc,sample\n")
    assert not (folder / "state").exists()


@pytest.mark.parametrize("step", [pytest.param(1, marks=pytest.mark.slow), 4, pytest.param(7, marks=pytest.mark.slow)])
def test_a_stopped_run_goes_on_with_the_same_batches(
    step: int,
    tmp_path: Path,
    uninterrupted: Uninterrupted,
    backbone: Backbone,
    small_recipe: Recipes,
    context_in: Contexts,
) -> None:
    with pytest.raises(Stopped, match=f"SIGTERM after step {step}$"):
        train(backbone, small_recipe(), interrupted(context_in(tmp_path), step, terminate))
    assert len(losses(tmp_path)) == step
    metrics = train(backbone, small_recipe(), context_in(tmp_path))
    assert losses(tmp_path) == uninterrupted.losses
    assert metrics == uninterrupted.metrics


@pytest.mark.slow
def test_a_crashed_run_goes_on_from_its_last_state(
    tmp_path: Path, uninterrupted: Uninterrupted, backbone: Backbone, small_recipe: Recipes, context_in: Contexts
) -> None:
    with pytest.raises(RuntimeError, match="power failure"):
        train(backbone, small_recipe(), interrupted(context_in(tmp_path), 5, crash))
    metrics = train(backbone, small_recipe(), context_in(tmp_path))
    assert losses(tmp_path) == uninterrupted.losses
    assert metrics == uninterrupted.metrics


@pytest.mark.slow
def test_worker_processes_change_nothing(
    tmp_path: Path, uninterrupted: Uninterrupted, backbone: Backbone, small_recipe: Recipes, context_in: Contexts
) -> None:
    assert train(backbone, small_recipe("workers=2"), context_in(tmp_path)) == uninterrupted.metrics
    assert losses(tmp_path) == uninterrupted.losses


def test_a_damaged_newest_state_is_passed_over_for_the_one_before(
    tmp_path: Path, uninterrupted: Uninterrupted, backbone: Backbone, small_recipe: Recipes, context_in: Contexts
) -> None:
    with pytest.raises(Stopped):
        train(backbone, small_recipe(), interrupted(context_in(tmp_path), 5, terminate))
    before, newest = sorted((tmp_path / "state").glob("step-*.pt"))
    assert (before.name[:13], newest.name[:13]) == ("step-00000003", "step-00000005")
    newest.write_bytes(newest.read_bytes()[:-100])
    metrics = train(backbone, small_recipe(), context_in(tmp_path))
    assert losses(tmp_path) == uninterrupted.losses
    assert metrics == uninterrupted.metrics


def test_a_state_of_another_recipe_or_other_data_is_refused(
    tmp_path: Path, backbone: Backbone, small_recipe: Recipes, context_in: Contexts, data_root: Path
) -> None:
    with pytest.raises(Stopped):
        train(backbone, small_recipe(), interrupted(context_in(tmp_path), 2, terminate))
    with pytest.raises(UserError, match=r"was started with another recipe: protocol\.lr 0\.001 -> 0\.1"):
        train(backbone, small_recipe("lr=0.1"), context_in(tmp_path))
    other = Path(shutil.copytree(data_root, tmp_path / "other"))
    for folder in ("images", "annotations"):
        (other / folder / "training" / "ADE_train_00000007.png").unlink()
    with pytest.raises(UserError, match=r"was started with another recipe: data \w+ -> \w+"):
        train(backbone, small_recipe(), Context(tmp_path, other, seed=0))


def test_a_state_is_loaded_without_running_its_code(
    tmp_path: Path, backbone: Backbone, small_recipe: Recipes, context_in: Contexts
) -> None:
    (tmp_path / "state").mkdir()
    part = tmp_path / "state" / "evil"
    torch.save({"step": Evil(tmp_path / "ran")}, part)
    part.rename(part.with_name(f"step-00000001.{sha256(part.read_bytes()).hexdigest()[:16]}.pt"))
    with pytest.raises(UserError, match=r"none of the states in .* can be read"):
        train(backbone, small_recipe(), context_in(tmp_path))
    assert not (tmp_path / "ran").exists()


class Evil:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.slow
def test_micro_batches_normalize_fewer_images_and_say_so(
    tmp_path: Path, backbone: Backbone, small_recipe: Recipes, context_in: Contexts
) -> None:
    context = context_in(tmp_path)
    train(backbone, small_recipe("per_device_batch=2", "steps=3"), context)
    assert "batch norm over 2 images (batch: 4)" in context.deviations


@pytest.mark.slow
def test_bf16_trains_and_is_noted(
    tmp_path: Path, uninterrupted: Uninterrupted, backbone: Backbone, small_recipe: Recipes, context_in: Contexts
) -> None:
    context = context_in(tmp_path)
    context.precision = "bf16"
    train(backbone, small_recipe(), context)
    assert "bf16 autocast in training (published config, as mmengine reads it: fp32)" in context.deviations
    assert losses(tmp_path) != uninterrupted.losses
    assert losses(tmp_path) == pytest.approx(uninterrupted.losses, rel=0.05)


def test_the_log_leaves_the_gpus_peak_memory_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def reset(*_: object) -> None:
        raise AssertionError("the counter was reset")

    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", reset)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda *_: 7 * 2**20)
    assert PeakLogProcessor()._get_max_memory(Mock()) == 7


def test_products_are_as_precise_as_the_recipe_says(
    tmp_path: Path, backbone: Backbone, small_recipe: Recipes, context_in: Contexts
) -> None:
    seen: list[str] = []
    context = interrupted(context_in(tmp_path), 1, lambda: seen.append(torch.get_float32_matmul_precision()))
    train(backbone, small_recipe("steps=3"), context)
    assert seen == ["medium"]
    assert torch.get_float32_matmul_precision() == "highest"


def test_a_loss_that_is_not_finite_ends_the_run_in_one_line(
    tmp_path: Path, backbone: Backbone, small_recipe: Recipes, context_in: Contexts
) -> None:
    with pytest.raises(UserError, match=r"the loss is (nan|inf) at step \d; lower lr"):
        train(backbone, small_recipe("lr=1.0e+30"), context_in(tmp_path))
