"""Classification on backbones that are no plain ViTs."""

from pathlib import Path
from typing import Any

import pytest
import torch

from crossmae.errors import UserError
from crossmae.recipe import Recipe
from tests.support.families import FAMILIES, backbone_of
from tests.support.labelled_images import save_image, task
from transfer.classification.job import make_job
from transfer.datasets.layouts import READERS
from transfer.frozen.knn import KnnTask
from transfer.task import Context, TaskSpec


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for split in ("train", "val"):
        for label in ("a", "b"):
            save_image(tmp_path / "data" / split / label / "1.png")
    return tmp_path / "data"


def recipe(side: int, **protocol: Any) -> Recipe:
    values = {"global_batch": 2, "base_lr": 0.1, "steps": 2, "image_size": side, **protocol}
    return Recipe("a_recipe", "a test", (), values, {"per_device_batch": 2, "device": "cpu"})


@pytest.mark.parametrize("family", FAMILIES)
def test_two_updates_reach_every_parameter(family: str, root: Path) -> None:
    backbone = backbone_of(family)
    train, val = READERS["imagenet"]().read_both(root)
    values = recipe(backbone.about.image_size, method="finetune")
    workload = make_job(backbone, values, train, val, Context(root, root, seed=0)).workload
    model = workload.model().train()
    optimizer = workload.optimizer(model, 1e-3)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    for _ in range(2):
        side = backbone.about.image_size
        loss = workload.loss(model, (torch.randn(2, 3, side, side), torch.tensor([0, 1])))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        assert torch.isfinite(loss)
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []
    assert [name for name, parameter in model.named_parameters() if torch.equal(parameter, before[name])] == []


@pytest.mark.parametrize("method", ["finetune", "linear"])
@pytest.mark.parametrize("family", ["RoPE (DINOv3)", "Hiera"])
def test_a_finished_classifier_gives_what_training_reported(
    family: str, method: str, root: Path, tmp_path: Path
) -> None:
    backbone = backbone_of(family)
    values = recipe(backbone.about.image_size, method=method, pooling="avg")
    (tmp_path / "run").mkdir()
    reported = task("imagenet").run(backbone, values, Context(tmp_path / "run", root, seed=0))
    again = task("imagenet").evaluate(tmp_path / "run" / "classifier.safetensors", values, Context(tmp_path, root, 0))
    assert {name: reported[name] for name in again} == again


def test_pooling_that_a_backbone_lacks_is_refused(root: Path) -> None:
    train, val = READERS["imagenet"]().read_both(root)
    for method in ("finetune", "linear"):
        values = recipe(64, method=method, pooling="token")
        with pytest.raises(UserError, match="no class token; use pooling=avg"):
            make_job(backbone_of("Hiera"), values, train, val, Context(root, root, seed=0)).workload.model()


@pytest.mark.parametrize("family", ["RoPE (DINOv3)", "ConvNeXt"])
def test_frozen_probes_take_them(family: str, root: Path, tmp_path: Path) -> None:
    backbone = backbone_of(family)
    spec = TaskSpec(
        "knn", 1, "kNN", "", "imagenet", ("top1", "top5"), "transfer.frozen", options={"reader": "imagenet"}
    )
    (tmp_path / "run").mkdir()
    for point in ("raw", "norm"):
        protocol, execution = (
            {"image_size": 64, "k": 1, "point": point},
            {"cache": str(tmp_path / "cache"), "device": "cpu"},
        )
        values = Recipe("r", "a test", (), protocol, execution)
        spec.check_metrics(KnnTask(spec).run(backbone, values, Context(tmp_path / "run", root, seed=0)))
