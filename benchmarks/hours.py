"""Hours of the ``paper`` suite on eight A100 as arithmetic, and where each comes from: ``python -m benchmarks.hours``.

Nothing here is measured. A training's hours are its FLOPs over ``SHARE`` of what eight A100 state for bf16; detection's
are the seconds per image that detectron2's model zoo publishes for its own ViTDet. Data loading and the evaluations
after every epoch are left out.
"""

from dataclasses import dataclass
from pathlib import Path

from tabulate import tabulate

from benchmarks.graph import roofline
from crossmae.analysis.cost import training_flops
from crossmae.analysis.speed import IMAGENET, data_sheet_peak
from crossmae.model.presets import PRESETS
from crossmae.pretraining.recipe import read_recipe
from transfer.harness.plan.plan import Run, make_plan
from transfer.harness.plan.suite import load_suite
from transfer.harness.plan.tasks import load_specs

SHARE = 0.4
A100 = next(card for card in roofline.CARDS if card.name == "A100")
GPUS = 8
IMAGES = {"imagenet_finetune": IMAGENET, "imagenet_linear": IMAGENET, "inat19": 265_213, "places365": 1_803_460}
VITDET_SECONDS = {"vit_b16": 0.314, "vit_l16": 0.603}
UPERNET_FLOPS = 3 * 1_213.6e9
"""A training image of UperNet ViT-B at 512 pixels: three times the forward pass, counted by torch's FlopCounterMode."""


@dataclass(frozen=True)
class Derived:
    """Hours of one run on all GPUs, and the arithmetic in words."""

    hours: float
    how: str


def main() -> None:
    """Prints the table in Markdown, one row per task and recipe."""
    runs: dict[tuple[str, str], list[Run]] = {}
    for run in make_plan(load_suite("paper"), load_specs(), Path("runs/paper")):
        runs.setdefault((run.task.name, run.recipe.name), []).append(run)
    rows = [(task, recipe, ones, _derived(ones[0])) for (task, recipe), ones in runs.items()]
    cells = [(t, r, len(ones), f"{d.hours:.2f}", f"{d.hours * len(ones):.1f}", d.how) for t, r, ones, d in rows]
    total = sum(derived.hours * len(ones) for *_, ones, derived in rows)
    count = sum(len(ones) for *_, ones, _ in rows)
    header = ("task", "recipe", "runs", "hours each", "hours", "derived from")
    print(tabulate([*cells, ("all", "", count, "", f"{total:.0f}", "")], header, "pipe"))


def _derived(run: Run) -> Derived:
    kinds = {"pretrain": _pretraining, "ade20k_upernet": _segmentation}
    kinds |= dict.fromkeys(("coco_vitdet", "coco_vitdet_norelpos"), _detection)
    if run.task.name in IMAGES:
        return _classification(run)
    return kinds.get(run.task.name, _minutes)(run)


def _pretraining(run: Run) -> Derived:
    recipe = read_recipe(run.recipe, seed=0)
    assert recipe.plan.epochs is not None
    flops = training_flops(recipe.model)
    how = f"{flops / 1e9:.1f} GFLOPs a training image"
    if run.recipe.name in roofline.read():
        how += f"; at least {roofline.least_hours(run.recipe.name, 'compiled', A100):.2f} h by the roofline"
    return _by_flops(flops * IMAGENET * recipe.plan.epochs, how)


def _classification(run: Run) -> Derived:
    preset = PRESETS[_arch(run)]
    tokens = (224 // preset["patch_size"]) ** 2 + 1
    forward = _vit_flops(preset["embed_dim"], preset["depth"], tokens)
    times = 1 if run.recipe.protocol["method"] == "linear" else 3
    flops = times * forward * IMAGES[run.task.name] * run.recipe.protocol["epochs"]
    return _by_flops(flops, f"{times * forward / 1e9:.1f} GFLOPs an image, {run.recipe.protocol['epochs']} epochs")


def _detection(run: Run) -> Derived:
    seconds = VITDET_SECONDS[_arch(run)]
    images = run.recipe.protocol["steps"] * run.recipe.protocol["global_batch"]
    return Derived(seconds * images / GPUS / 3600, f"{seconds} s an image and GPU, published by detectron2's model zoo")


def _segmentation(run: Run) -> Derived:
    images = run.recipe.protocol["steps"] * run.recipe.protocol["global_batch"]
    return _by_flops(UPERNET_FLOPS * images, f"{UPERNET_FLOPS / 1e12:.2f} TFLOPs a training image")


def _minutes(run: Run) -> Derived:
    return Derived(0.1, "minutes: nothing is trained")


def _by_flops(flops: float, how: str) -> Derived:
    peak = data_sheet_peak("A100")
    assert peak is not None
    return Derived(flops / (SHARE * peak * GPUS) / 3600, how)


def _vit_flops(dim: int, depth: int, tokens: int) -> int:
    return depth * (24 * tokens * dim**2 + 4 * tokens**2 * dim)


def _arch(run: Run) -> str:
    return run.recipe.name.removeprefix(f"{run.task.name}_")


if __name__ == "__main__":
    main()
