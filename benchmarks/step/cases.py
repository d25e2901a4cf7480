"""What is compared: implementations of a training step by name, and for which models."""

from dataclasses import dataclass

OURS = {
    "ours": ("matmul_precision=medium",),
    "ours bf16": ("matmul_precision=medium", "precision=bf16"),
    "ours compiled": ("matmul_precision=medium", "compile=true"),
}
"""Values that make the recipes of GPUs into those of a CPU."""


@dataclass(frozen=True)
class Bar:
    """At least ``times`` the images per second of another implementation, with no more memory if ``lean``."""

    model: str
    name: str
    other: str
    times: float
    lean: bool = False


CASES = {
    "vit_b16": ("ours", "birder", "huggingface", "ours bf16"),
    "vit_s16": ("ours", "birder", "huggingface", "ours bf16"),
    "vit_demo": ("ours", "plain"),
}
BATCH = {"vit_b16": 16, "vit_s16": 16, "vit_demo": 128}
RECIPES = {"vit_b16": "crossmae25_vit_b16", "vit_s16": "crossmae25_vit_s16", "vit_demo": "demo_crossmae"}
BARS = (
    *(Bar(model, "ours", "birder", 1.5, lean=True) for model in ("vit_b16", "vit_s16")),
    *(Bar(model, "ours", "huggingface", 2.2, lean=True) for model in ("vit_b16", "vit_s16")),
    *(Bar(model, "ours bf16", "ours", 1.5) for model in ("vit_b16", "vit_s16")),
    Bar("vit_demo", "ours", "plain", 2.0),
)
