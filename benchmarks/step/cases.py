"""What is compared: implementations of a training step by name, for which models, with how many threads."""

from dataclasses import dataclass

OURS = {
    "ours": ("matmul_precision=medium",),
    "ours bf16": ("matmul_precision=medium", "precision=bf16"),
}
"""Values that make the recipes of GPUs into those of a CPU."""


@dataclass(frozen=True)
class Case:
    """Implementations that take their turns, each for the same model and batch."""

    model: str
    recipe: str
    batch: int
    threads: int
    warmup: int
    steps: int
    names: tuple[str, ...]


@dataclass(frozen=True)
class Bar:
    """At least ``times`` the images per second of another implementation, with no more memory if ``lean``."""

    case: str
    name: str
    other: str
    times: float
    lean: bool = False


_LARGE = ("ours", "birder", "huggingface", "ours bf16")
_SMALL = ("ours bf16", "ours", "plain", "plain bf16")
CASES = {
    "vit_b16": Case("vit_b16", "crossmae25_vit_b16", 16, 2, 2, 5, _LARGE),
    "vit_s16": Case("vit_s16", "crossmae25_vit_s16", 16, 2, 3, 10, _LARGE),
    # The demo runs two processes of one thread each; its precision is bf16 on a CPU that multiplies in it.
    "demo": Case("vit_demo", "demo_crossmae", 128, 1, 10, 60, _SMALL),
    "demo, 2 threads": Case("vit_demo", "demo_crossmae", 128, 2, 10, 60, _SMALL),
}
BARS = (
    *(Bar(case, "ours", "birder", 1.5, lean=True) for case in ("vit_b16", "vit_s16")),
    *(Bar(case, "ours", "huggingface", 2.2, lean=True) for case in ("vit_b16", "vit_s16")),
    *(Bar(case, "ours bf16", "ours", 1.5) for case in ("vit_b16", "vit_s16")),
    *(Bar(case, name, "plain", 2.0) for case in ("demo", "demo, 2 threads") for name in ("ours bf16", "ours")),
)
