"""One implementation, timed alone in this process: ``python -m benchmarks.step.one NAME MODEL`` prints JSON."""

import json
import statistics
import sys
import time

import torch

from benchmarks.step import others
from benchmarks.step.cases import BATCH, OURS, RECIPES
from crossmae.train.meter import peak_memory

UPDATES = {"vit_b16": (2, 5), "vit_s16": (3, 10), "vit_demo": (10, 60)}
"""Before the clock runs, and timed."""


def main(name: str, model: str) -> None:
    """Prints milliseconds of a step (the median), images per second and the process's greatest memory in MB."""
    warmup, steps = UPDATES[model]
    seconds = _ours(name, model, warmup, steps) if name in OURS else _other(name, model, warmup, steps)
    memory = peak_memory(torch.device("cpu")) / 2**20
    rate = BATCH[model] / seconds
    print(json.dumps({"ms_per_step": 1000 * seconds, "images_per_second": rate, "memory_mb": memory}))


def _ours(name: str, model: str, warmup: int, steps: int) -> float:
    from crossmae.analysis.speed import measure
    from crossmae.train.pretrain import load_pretraining_recipe
    from crossmae.train.settings import settings

    batch = (f"global_batch={BATCH[model]}", f"per_device_batch={BATCH[model]}")
    # What the recipes of GPUs have otherwise; a later value counts.
    recipe = load_pretraining_recipe(RECIPES[model], (*batch, "precision=fp32", *OURS[name]))
    return measure(settings(recipe, seed=0), steps, warmup, device="cpu").ms_per_step / 1000


def _other(name: str, model: str, warmup: int, steps: int) -> float:
    step = getattr(others, name)(model, BATCH[model])
    for _ in range(warmup):
        step()
    return statistics.median(_timed(step) for _ in range(steps))


def _timed(step: others.Step) -> float:
    before = time.perf_counter()
    step()
    return time.perf_counter() - before


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
