"""Several labels an image: average precision is scikit-learn's, labels are mixed as pixels are, a run leaves both."""

import csv
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from crossmae.backbone import Backbone
from crossmae.errors import UserError
from tests.support.labelled_images import save_image
from transfer.classification.accuracy import average_precisions
from transfer.classification.finetune import mixer
from transfer.classification.recipe import FinetuneProtocol
from transfer.classification.task import ClassificationTask
from transfer.classification.workload import ClassificationWorkload
from transfer.harness.plan.tasks import load_specs, recipe_of
from transfer.task import Context


def test_average_precision_is_that_of_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    generator = np.random.default_rng(0)
    labels = (generator.random((60, 5)) < [0.05, 0.2, 0.5, 0.9, 0.3]).astype(np.int64)
    scores = generator.normal(size=(60, 5)).astype(np.float32) + labels
    scores[:, 2:] = scores[:, 2:].round()  # many images of one score
    ours = average_precisions(scores, labels)
    theirs = 100 * metrics.average_precision_score(labels, scores, average=None)
    np.testing.assert_allclose(ours, theirs, rtol=1e-9)
    macro = 100 * metrics.average_precision_score(labels, scores, average="macro")
    assert np.nanmean(ours) == pytest.approx(macro, rel=1e-9)


def test_average_precision_worked_out_by_hand() -> None:
    scores = np.array([[4.0, 1], [3, 1], [2, 0], [1, 2]], np.float32)
    labels = np.array([[1, 0], [0, 0], [1, 0], [0, 0]])
    first, second = average_precisions(scores, labels)
    assert first == pytest.approx(100 * (1 / 2 * 1 + 1 / 2 * 2 / 3))
    assert np.isnan(second)


def test_labels_are_mixed_as_pixels_are() -> None:
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002 - timm draws from it
    labels = torch.tensor([[1, 1, 0], [0, 1, 0], [0, 0, 0], [0, 0, 1]])
    images = labels[:, :, None, None].float().expand(4, 3, 4, 4).clone()
    protocol = FinetuneProtocol(global_batch=4, base_lr=1.0, epochs=1.0, mixup=1.0, cutmix=0.0, label_smoothing=0.0)
    mixed, targets = mixer(protocol, 3, several=True)(images, labels)
    assert not torch.equal(targets, labels.float())
    torch.testing.assert_close(mixed.mean(dim=(2, 3)), targets)
    plain = mixer(replace(protocol, mixup=0.0), 3, several=True)(images, labels)
    assert torch.equal(plain[1], labels)


def test_the_loss_is_binary_cross_entropy_of_every_class() -> None:
    scores, targets = torch.tensor([[2.0, -1.0, 0.5], [0.0, 3.0, -2.0]]), torch.tensor([[1, 1, 0], [0, 0, 0]])
    chance = 1 / (1 + torch.exp(-scores))
    by_hand = -torch.where(targets > 0, chance, 1 - chance).log().sum() / 6
    workload: Any = SimpleNamespace(train=SimpleNamespace(several=True))
    torch.testing.assert_close(ClassificationWorkload.entropy(workload, scores, targets), by_hand)


def listed(root: Path, several: bool = True) -> Path:
    """Noise under names of colours: one, or several."""
    rows = ["file,label,split"]
    for number in range(24):
        save_image(root / f"{number}.png", side=24 + number)
        names = [name for bit, name in enumerate(("red", "green", "blue")) if (number % 7 + 1) >> bit & 1]
        label = "|".join(names if several else names[:1])
        rows.append(f"{number}.png,{label},{'val' if number < 8 else 'train'}")
    (root / "labels.csv").write_text("\n".join([*rows, ""]))
    return root


@pytest.mark.parametrize(
    ("name", "of_class", "mean"),
    [
        ("multilabel_finetune", "ap", "mean_ap"),
        ("multilabel_linear", "ap", "mean_ap"),
        ("imagefolder_attentive", "top1", "top1_macro"),
    ],
)
def test_a_run_scores_classes_and_its_model_is_scored_the_same(
    name: str, of_class: str, mean: str, tmp_path: Path
) -> None:
    root, spec = listed(tmp_path / "data", mean == "mean_ap"), load_specs()[name]
    changes = (
        "epochs=1",
        "least_steps=0",
        "global_batch=8",
        "per_device_batch=8",
        *(("mixup=0.4",) if "fine" in name else ()),
    )
    task, recipe = ClassificationTask(spec), recipe_of(spec, "small", changes)
    contexts = [Context(tmp_path / place, root, seed=0) for place in ("run", "evaluation")]
    for context in contexts:
        context.folder.mkdir()
    backbone = Backbone.load("random:vit_demo")
    metrics = task.run(backbone, recipe, contexts[0])
    spec.check_metrics(metrics)
    rows = list(csv.DictReader((contexts[0].folder / "classes.csv").open()))
    assert [row["class"] for row in rows] == ["blue", "green", "red"]
    assert np.mean([float(row[of_class]) for row in rows]) == pytest.approx(metrics[mean], abs=0.01)
    again = task.evaluate(contexts[0].folder / contexts[0].artifacts["classifier"], recipe, contexts[1])
    assert again[mean] == metrics[mean]
    files = [context.folder / context.artifacts["classes"] for context in contexts]
    assert files[0].read_text() == files[1].read_text()


def test_labels_are_not_smoothed(tmp_path: Path) -> None:
    root, spec = listed(tmp_path / "data"), load_specs()["multilabel_finetune"]
    recipe = recipe_of(spec, "small", ("label_smoothing=0.1",))
    with pytest.raises(UserError, match="not smoothed where images have several; set label_smoothing=0"):
        ClassificationTask(spec).run(Backbone.load("random:vit_demo"), recipe, Context(tmp_path, root, seed=0))
