"""A classifier of 1,000 classes, and pictures that it is sure about."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from crossmae.backbone import Backbone
from transfer.classification.job import save
from transfer.classification.transforms import evaluation_transform
from transfer.harness.plan.tasks import load_specs, recipe_of
from transfer.robustness.task import RobustnessTask
from transfer.task import Context

Scores = Callable[[Image.Image], Tensor]
SPECS = load_specs()


@dataclass(frozen=True)
class Classifier:
    """A finished classifier, and what it says of one picture: (1000,)."""

    file: Path
    scores: Scores

    def evaluate(self, task: str, root: Path, folder: Path) -> tuple[dict[str, float], Context]:
        """What the task measures with the demo's recipe."""
        spec = SPECS[task]
        folder.mkdir()
        context = Context(folder, root, seed=0)
        metrics = RobustnessTask(spec).evaluate(self.file, recipe_of(spec, "demo"), context)
        spec.check_metrics(metrics)
        return metrics, context


@pytest.fixture(scope="session")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    backbone = Backbone.load("random:vit_demo")
    protocol = recipe_of(SPECS["imagenet_a"], "demo").protocol
    size = protocol["image_size"]
    model = backbone.to_timm(
        1000, image_size=size, global_pool="avg", expected_missing=("fc_norm.weight", "fc_norm.bias")
    ).eval()
    nn.init.normal_(model.head.weight, generator=torch.Generator().manual_seed(0))
    file = tmp_path_factory.mktemp("classifier") / "classifier.safetensors"
    save(model, backbone.spec, file)
    transform = evaluation_transform(size, protocol.get("crop_pct", 0.875), backbone.spec.mean, backbone.spec.std)

    @torch.inference_mode()
    def scores(picture: Image.Image) -> Tensor:
        return model(transform(picture)[None])[0]

    return Classifier(file, scores)


@pytest.fixture(scope="session")
def pictures() -> list[Image.Image]:
    """Ten different ones, (64, 64)."""
    generator = np.random.default_rng(0)
    patches = [generator.integers(0, 255, (4, 4, 3), dtype=np.uint8) for _ in range(10)]
    return [Image.fromarray(patch).resize((64, 64), Image.Resampling.NEAREST) for patch in patches]
