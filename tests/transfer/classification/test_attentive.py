"""Attentive probes are those of their papers: sizes, outputs worked out by hand, and a backbone that stays as it is."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from crossmae.backbone import Backbone
from crossmae.errors import UserError
from crossmae.recipe import Recipe
from tests.support.labelled_images import write_imagenet
from transfer.classification.attentive import CapiProbe, EfficientProbing
from transfer.classification.task import ClassificationTask
from transfer.harness.plan.tasks import load_specs
from transfer.task import Context

TOKENS = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
LN3 = torch.tensor(3.0).log()
"""A token that scores so much above another one has three quarters of the attention."""


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def set_to(parameter: Tensor, values: Any) -> None:
    with torch.no_grad():
        parameter.copy_(torch.as_tensor(values))


@pytest.mark.parametrize(("width", "published"), [(768, 1_383_400), (1024, 2_106_344)])
def test_efficient_probing_has_as_many_parameters_as_published(width: int, published: int) -> None:
    assert count(EfficientProbing(width, 1000, queries=32)) == published


def test_capis_probe_has_one_query_and_projects_keys_and_values() -> None:
    assert count(CapiProbe(1024, 1000)) == 1024 + (2 * 1024 * 1024 + 2 * 1024) + (1000 * 1024 + 1000)


def test_each_query_of_efficient_probing_pools_its_part_of_the_values() -> None:
    probe = EfficientProbing(2, 2, queries=2).eval()
    set_to(probe.queries, [[2**0.5 * LN3, 0.0], [0.0, 0.0]])  # the root of the width is divided out again
    set_to(probe.values.weight, [[2.0, 0.0], [0.0, 4.0]])
    set_to(probe.classifier.weight, [[1.0, 0.0], [0.0, 1.0]])
    set_to(probe.classifier.bias, [0.0, 0.5])
    # Values (2, 0) and (0, 4): the first part 3/4 * 2 + 1/4 * 0, the second 1/2 * 0 + 1/2 * 4.
    torch.testing.assert_close(probe(TOKENS), torch.tensor([[1.5, 2.5]]), atol=1e-5, rtol=0)


def test_each_head_of_capis_probe_attends_by_itself() -> None:
    probe = CapiProbe(2, 2, head_width=1)
    set_to(probe.query, [LN3, 0.0])
    set_to(probe.keys_and_values.weight, [[1.0, 0.0], [0.0, 1.0], [2.0, 0.0], [0.0, 2.0]])
    set_to(probe.keys_and_values.bias, [0.0, 0.0, 1.0, 0.0])
    set_to(probe.classifier.weight, [[1.0, 0.0], [0.0, 1.0]])
    # Values (3, 0) and (1, 2): the first head 3/4 * 3 + 1/4 * 1, the second 1/2 * 0 + 1/2 * 2.
    torch.testing.assert_close(probe(TOKENS), torch.tensor([[2.5, 1.0]]))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "imagenet"
    write_imagenet(folder, val=51)
    return folder


def recipe(pooling: str, **changes: Any) -> Recipe:
    values = {
        "method": "attentive",
        "pooling": pooling,
        "image_size": 64,
        "steps": 6,
        "global_batch": 16,
        "base_lr": 0.1,
    }
    return Recipe("test", "", (), {**values, **changes}, {"per_device_batch": 8, "device": "cpu", "log_every": 1})


@pytest.mark.parametrize("pooling", ["ep", "capi"])
def test_only_the_probe_is_trained_and_it_is_found_again(pooling: str, root: Path, tmp_path: Path) -> None:
    task = ClassificationTask(load_specs()[f"imagenet_attentive@{pooling}"])
    backbone = Backbone.load("random:vit_demo", seed=3)
    context = Context(tmp_path, root, seed=5)
    metrics = task.run(backbone, recipe(pooling, point="norm"), context)
    task.spec.check_metrics(metrics)
    file = tmp_path / "classifier.safetensors"
    saved = load_file(file)
    assert all(torch.equal(saved[f"vit.{name}"], value) for name, value in backbone.state_dict().items())
    probed = sum(value.numel() for name, value in saved.items() if name.startswith("heads.") and ".norm." not in name)
    assert metrics["head_parameters"] == probed
    assert task.evaluate(file, recipe(pooling, point="norm"), context)["top1"] == metrics["top1"]


def test_what_does_not_suit_the_backbone_is_one_line(root: Path, tmp_path: Path) -> None:
    task = ClassificationTask(load_specs()["imagenet_attentive@ep"])
    backbone, context = Backbone.load("random:vit_demo"), Context(tmp_path, root, seed=5)
    with pytest.raises(UserError, match="which 7 does not divide"):
        task.run(backbone, recipe("ep", queries=7), context)
    weights = {name: value for name, value in backbone.state_dict().items() if not name.startswith("norm.")}
    bare = Backbone(weights, replace(backbone.spec, final_norm=False, missing=("norm.weight", "norm.bias")))
    with pytest.raises(UserError, match=r"has no final norm.*point=raw"):
        task.run(bare, recipe("capi", point="norm"), context)
