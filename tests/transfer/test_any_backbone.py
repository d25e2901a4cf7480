"""Every task trains on every kind of plain ViT that timm has."""

from pathlib import Path
from typing import Any

import pytest
import torch
from timm.models.vision_transformer import VisionTransformer

from crossmae.backbone import Backbone, BackboneSpec
from crossmae.data.demo.scenes import SceneSource
from detection.data.demo import write_demo as write_coco
from segmentation.data.demo import write as write_ade20k
from tests.support.labelled_images import write_imagenet
from transfer.harness.plan.tasks import load_specs, recipe_of
from transfer.harness.worker.adapter import load_adapter
from transfer.task import Context

KINDS: dict[str, dict[str, Any]] = {
    "patch 14": {"img_size": 112, "patch_size": 14},
    "LayerScale and registers": {"img_size": 64, "patch_size": 8, "init_values": 0.5, "reg_tokens": 4},
    "no class token": {"img_size": 64, "patch_size": 8, "class_token": False, "global_pool": "avg", "fc_norm": False},
}
SHORT = {
    "imagenet_finetune": ("steps=2", "global_batch=16", "warmup_epochs=0.0"),
    "imagenet_linear": ("steps=2", "global_batch=16", "warmup_epochs=0.0"),
    "coco_vitdet": ("steps=2", "global_batch=4", "milestones=[1]", "warmup_steps=1"),
    "ade20k_upernet": ("steps=2", "warmup_steps=1", "global_batch=4"),
}


def backbone_of(kind: str) -> Backbone:
    options = KINDS[kind]
    torch.manual_seed(0)
    model = VisionTransformer(**options, embed_dim=128, depth=4, num_heads=2, num_classes=0)
    spec = BackboneSpec(
        arch=None,
        embed_dim=128,
        depth=4,
        num_heads=2,
        patch_size=options["patch_size"],
        image_size=options["img_size"],
        mlp_ratio=4.0,
        class_token=options.get("class_token", True),
        num_registers=options.get("reg_tokens", 0),
        final_norm=True,
        layer_scale="init_values" in options,
        source=kind,
    )
    return Backbone(model.state_dict(), spec)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("data")
    write_imagenet(folder / "imagenet", val=30)
    write_coco(folder / "coco", SceneSource(0), {"train": 8, "val": 3})
    write_ade20k(folder / "ade20k", SceneSource(0), {"training": 8, "validation": 3})
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("task", SHORT)
def test_task_takes_backbone(task: str, kind: str, data: Path, tmp_path: Path) -> None:
    spec = load_specs()[task]
    side = 112 if kind == "patch 14" else 64
    changes = [f"image_size={side}"] if spec.dataset == "imagenet" else []
    changes += ["pooling=avg"] if task == "imagenet_linear" and kind == "no class token" else []
    recipe = recipe_of(spec, "demo", (*SHORT[task], *changes))
    metrics = load_adapter(spec).run(backbone_of(kind), recipe, Context(tmp_path, data / str(spec.dataset), seed=0))
    assert set(spec.metrics) <= set(metrics)
