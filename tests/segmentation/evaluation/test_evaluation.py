"""The metrics are mmsegmentation's, every image counts once, and finished models give the metrics of their training."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope
from mmengine.runner import Runner
from mmseg.evaluation import IoUMetric
from PIL import Image

from crossmae.backbone import Backbone, BackboneSpec
from crossmae.errors import UserError
from crossmae.recipe import Recipe
from crossmae.weights.files import write_torch
from crossmae.wrapped.spec import written
from segmentation.build.config import upernet
from segmentation.data.layout import class_names
from segmentation.evaluation.finished import read_finished
from segmentation.evaluation.metrics import SegmentationMetric
from segmentation.recipe import read_recipe
from segmentation.run import evaluate, train
from tests.support.runs import RunFolder
from transfer.commands.export import export_run
from transfer.task import Context

Contexts = Callable[[Path], Context]
CLASSES = tuple("abcde")
SCRIPT = Path(__file__).parents[2] / "support" / "torchrun" / "evaluate_segmenter.py"


def test_an_exported_segmenter_is_read_as_it_was(tmp_path: Path) -> None:
    state = {
        "backbone.cls_token": torch.rand(1, 1, 8),
        "backbone.patch_embed.projection.weight": torch.rand(8, 3, 4, 4),
        "backbone.pos_embed": torch.rand(1, 5, 8),
        "backbone.layers.0.ffn.layers.0.0.weight": torch.rand(16, 8),
        "backbone.layers.0.attn.relative_position_bias_table": torch.rand(9, 2),
    }
    about = replace(Backbone.load("random:vit_demo").spec, norm_eps=1e-5)
    run = RunFolder(tmp_path / "runs").record("ade20k_upernet", "m", 0, {"miou": 1.0}, artifacts={"model": "m.pth"})
    write_torch({"state_dict": state, "meta": {}, **written(about)}, run / "m.pth")
    export_run(run, tmp_path / "exported", tmp_path / "runs", None)
    read = read_finished(tmp_path / "exported" / "model.safetensors")
    assert isinstance(read.about, BackboneSpec)
    assert read.about.norm_eps == 1e-5
    assert all(torch.equal(state[name], read.weights[name]) for name in state)


def samples(count: int = 7) -> list[dict[str, dict[str, torch.Tensor]]]:
    """Random predictions and annotations, a tenth of them ignored; the last class is never annotated."""
    generator = torch.Generator().manual_seed(0)
    made = []
    for _ in range(count):
        label = torch.randint(0, 4, (1, 20, 30), generator=generator)
        guess = torch.where(torch.rand(label.shape, generator=generator) < 0.6, label, label.flip(2))
        label[torch.rand(label.shape, generator=generator) < 0.1] = 255
        made.append({"gt_sem_seg": {"data": label}, "pred_sem_seg": {"data": guess}})
    return made


def measured(metric: IoUMetric, predictions: list[dict[str, dict[str, torch.Tensor]]]) -> dict[str, float]:
    metric.dataset_meta = {"classes": CLASSES}
    metric.process({}, predictions)
    values: dict[str, float] = metric.evaluate(len(predictions))
    return values


def test_metrics_equal_mmsegmentations() -> None:
    ours, theirs = measured(SegmentationMetric(), samples()), measured(IoUMetric(iou_metrics=["mIoU"]), samples())
    pairs = {"miou": "mIoU", "aacc": "aAcc", "macc": "mAcc"}
    assert ours == {our: pytest.approx(theirs[their], abs=1e-6) for our, their in pairs.items()}
    assert 20 < ours["miou"] < 80


def test_foreground_leaves_background_out() -> None:
    per_class = []
    for label in range(4):
        pairs = [(s["gt_sem_seg"]["data"], s["pred_sem_seg"]["data"]) for s in samples()]
        both = sum(int(((g == label) & (p == label)).sum()) for g, p in pairs)
        either = sum(int((((g == label) | (p == label)) & (g != 255)).sum()) for g, p in pairs)
        per_class.append(100 * both / either)
    metrics = measured(SegmentationMetric(background=0), samples())
    assert metrics["miou_foreground"] == pytest.approx(np.mean(per_class[1:]), abs=0.006)


def test_every_image_has_its_own_result() -> None:
    metric = SegmentationMetric()
    measured(metric, samples())
    alone = [measured(SegmentationMetric(), [sample]) for sample in samples()]
    assert len(metric.images) == len(alone)
    for (miou, aacc), metrics in zip(metric.images, alone, strict=True):
        assert miou == pytest.approx(metrics["miou"], abs=0.01)
        assert aacc == pytest.approx(metrics["aacc"], abs=0.01)


def test_classes_have_the_iou_that_the_mean_is_of() -> None:
    metric = SegmentationMetric()
    metrics = measured(metric, samples())
    labels = [sample["gt_sem_seg"]["data"] for sample in samples()]
    assert [images for images, _ in metric.of_classes] == [
        sum(bool((mask == label).any()) for mask in labels) for label in range(len(metric.of_classes))
    ]
    assert np.nanmean([share for _, share in metric.of_classes]) == pytest.approx(metrics["miou"], abs=0.01)


def test_ground_truth_as_prediction_gives_100() -> None:
    perfect = [{**sample, "pred_sem_seg": sample["gt_sem_seg"]} for sample in samples()]
    assert measured(SegmentationMetric(background=0), perfect) == {
        "miou": 100, "aacc": 100, "macc": 100, "miou_foreground": 100,
    }  # fmt: skip


def test_ground_truth_from_disk_gives_100(
    data_root: Path, backbone: Backbone, small_recipe: Callable[..., Recipe]
) -> None:
    """Annotations that were read through the validation pipeline, against the PNG files themselves."""
    init_default_scope("mmseg")
    config = upernet(read_recipe(small_recipe()).protocol, backbone.spec, data_root, class_names(data_root))
    dataset = DATASETS.build(config.val_dataloader.dataset)
    predictions = []
    for item in dataset:
        name = Path(item["data_samples"].img_path).name
        truth = np.asarray(Image.open(data_root / "annotations/validation" / name)).astype(int) - 1
        sample = item["data_samples"].to_dict()
        predictions.append({**sample, "pred_sem_seg": {"data": torch.from_numpy(truth)[None]}})
    metric = SegmentationMetric(background=0)
    metrics = measured(metric, predictions)
    assert len(metric.images) == 5
    assert set(metrics.values()) == {100}


@dataclass(frozen=True)
class Finished:
    checkpoint: Path
    metrics: dict[str, float]
    recipe: Recipe


@pytest.fixture(scope="module")
def finished(
    tmp_path_factory: pytest.TempPathFactory,
    backbone: Backbone,
    small_recipe: Callable[..., Recipe],
    context_in: Contexts,
) -> Finished:
    folder = tmp_path_factory.mktemp("finished")
    recipe = small_recipe("lr=3.0e-3", "steps=12")
    metrics = train(backbone, recipe, context_in(folder))
    return Finished(folder / "upernet.pth", metrics, recipe)


def test_a_finished_model_gives_the_metrics_of_its_training(
    finished: Finished, tmp_path: Path, context_in: Contexts
) -> None:
    assert evaluate(finished.checkpoint, finished.recipe, context_in(tmp_path)) == finished.metrics


@pytest.mark.slow
def test_two_processes_measure_the_same(finished: Finished, data_root: Path, tmp_path: Path) -> None:
    """Five images do not divide by two; the padding that a distributed loader adds must not count."""
    task = {"weights": finished.checkpoint, "data": data_root, "out": tmp_path, "recipe": finished.recipe.protocol}
    (tmp_path / "task.json").write_text(json.dumps(task, default=str))
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*launcher, SCRIPT, tmp_path / "task.json"], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "metrics.json").read_text()) == finished.metrics


@pytest.mark.slow
def test_a_checkpoint_of_mmengines_own_runner_is_read_without_its_objects(
    tmp_path: Path,
    data_root: Path,
    backbone: Backbone,
    small_recipe: Callable[..., Recipe],
    context_in: Contexts,
) -> None:
    """Native use: our config, mmengine's Runner and nothing else; its checkpoint carries pickled log buffers."""
    recipe = small_recipe("steps=2", "warmup_steps=1")
    config = upernet(read_recipe(recipe).protocol, backbone.spec, data_root, class_names(data_root))
    native = Runner.from_cfg(_on_cpu(config, tmp_path))
    native.train()
    metrics = native.val()
    ours = evaluate(tmp_path / "native" / "iter_2.pth", recipe, context_in(tmp_path / "ours"))
    assert ours["miou"] == pytest.approx(metrics["mIoU"], abs=1e-6)
    assert ours["aacc"] == pytest.approx(metrics["aAcc"])


def _on_cpu(config: Config, folder: Path) -> Config:
    for loader in (config.train_dataloader, config.val_dataloader, config.test_dataloader):
        loader.update(num_workers=0, persistent_workers=False)
    config.train_cfg.val_interval = 100
    config.default_hooks.checkpoint.interval = 2
    config.work_dir = str(folder / "native")
    config.experiment_name = folder.name
    return config


def test_a_file_that_is_no_upernet_is_named(tmp_path: Path, finished: Finished, context_in: Contexts) -> None:
    torch.save({"state_dict": {"head.weight": torch.ones(1)}}, tmp_path / "other.pth")
    with pytest.raises(UserError, match=r"other\.pth holds no UperNet"):
        evaluate(tmp_path / "other.pth", finished.recipe, context_in(tmp_path))


class Evil:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def complaint(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        read_finished(path)
    text = str(caught.value)
    assert text.startswith((str(path), f"no weight file {path}"))
    assert "\n" not in text
    assert "weights_only" not in text
    return text


def test_an_unreadable_or_foreign_file_is_one_line(tmp_path: Path, finished: Finished) -> None:
    path = tmp_path / "model.pth"
    assert complaint(path).startswith(f"no weight file {path}")
    cut = finished.checkpoint.read_bytes()[:5000]
    for content, kind in {b"": "is empty", b"<!DOCTYPE html>": "is a web page", cut: "is damaged"}.items():
        path.write_bytes(content)
        assert kind in complaint(path)
    torch.save({"state_dict": {}, "extra": Evil(tmp_path / "ran")}, path)
    assert "none of it was run" in complaint(path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [[1, 2], {}, {"state_dict": 3}, torch.ones(2), {"state_dict": {5: torch.ones(1)}}])
def test_a_file_without_named_weights_is_one_line(content: Any, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "model.pth")
    assert re.search("holds no UperNet on a MAE backbone|not named weights", complaint(tmp_path / "model.pth"))


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("backbone.pos_embed", None),
        ("backbone.layers.0.attn.relative_position_bias_table", (4, 0)),
        ("backbone.layers.0.attn.relative_position_bias_table", (4, 3)),
        ("backbone.cls_token", (1, 1)),
        ("backbone.patch_embed.projection.weight", ()),
    ],
)
def test_a_backbone_that_cannot_be_measured_is_one_line(
    name: str, shape: tuple[int, ...] | None, tmp_path: Path, finished: Finished
) -> None:
    state = torch.load(finished.checkpoint, weights_only=True)["state_dict"]
    if shape is None:
        del state[name]
    else:
        state[name] = torch.ones(shape)
    torch.save({"state_dict": state}, tmp_path / "model.pth")
    assert "holds no UperNet on a MAE backbone" in complaint(tmp_path / "model.pth")


def test_a_checkpoint_of_another_recipe_is_named(
    tmp_path: Path, finished: Finished, small_recipe: Callable[..., Recipe], context_in: Contexts
) -> None:
    with pytest.raises(UserError, match="does not fit this recipe"):
        evaluate(finished.checkpoint, small_recipe("channels=24"), context_in(tmp_path))
