"""What is compared: a case is one task at one size, by several implementations, the engine's own first."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

Step = Callable[[], object]
"""One training step with its optimizer, or one whole evaluation."""

Build = Callable[["Size", torch.device], Step]


@dataclass(frozen=True)
class Size:
    """A recipe and its images; the model is the recipe's."""

    recipe: str
    batch: int
    image_size: int
    warmup: int
    steps: int


@dataclass(frozen=True)
class Case:
    """``builders`` is a module of this folder whose ``BUILD`` has an entry for each of ``names``."""

    builders: str
    size: Size
    names: tuple[str, ...]
    bar: float = 1.0
    """By how many times ours has to be faster than the first of ``names``."""
    device: str = "cpu"


FINETUNE = tuple(f"timm{change}" for change in ("", "+fused", "+attention", "+precision", "+memory"))
VITDET = tuple(f"detectron2{change}" for change in ("", "+fused", "+losses", "+attention", "+precision", "+memory"))
UPERNET = tuple(f"mmseg{change}" for change in ("", "+fused", "+attention", "+precision", "+memory", "+channels"))

CASES: Mapping[str, Case] = {
    "finetune-demo": Case(
        "finetune", Size("imagenet_finetune_demo", 64, 64, 10, 30), (*FINETUNE, "ours", "ours bf16", "ours compiled")
    ),
    "vitdet-demo": Case("vitdet", Size("coco_vitdet_demo", 16, 64, 5, 15), (*VITDET, "ours")),
    "upernet-demo": Case("upernet", Size("ade20k_upernet_demo", 16, 64, 5, 15), (*UPERNET, "ours")),
    "evaluation": Case("evaluation", Size("coco_vitdet_vit_b16", 1000, 320, 0, 1), ("pycocotools", "ours"), bar=3.0),
    "finetune-b": Case("finetune", Size("imagenet_finetune_vit_b16", 8, 224, 1, 3), ("timm", "ours")),
    "vitdet-b": Case("vitdet", Size("coco_vitdet_vit_b16", 1, 256, 1, 3), ("detectron2", "ours")),
    "upernet-b": Case("upernet", Size("ade20k_upernet_vit_b16", 2, 256, 1, 3), ("mmseg", "ours")),
    # On a GPU, each in the precision of its own training: detectron2 fp16, mmsegmentation fp32, timm and ours bf16.
    "finetune-224": Case(
        "finetune",
        Size("imagenet_finetune_vit_b16", 128, 224, 10, 30),
        ("timm", "ours", "ours compiled"),
        device="cuda",
    ),
    "vitdet-1024": Case("vitdet", Size("coco_vitdet_vit_b16", 4, 1024, 10, 40), ("detectron2", "ours"), device="cuda"),
    "upernet-512": Case("upernet", Size("ade20k_upernet_vit_b16", 8, 512, 10, 40), ("mmseg", "ours"), device="cuda"),
}
