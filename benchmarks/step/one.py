"""One implementation, timed alone in this process: ``python -m benchmarks.step.one CASE NAME`` prints JSON."""

import json
import statistics
import sys
import time

import torch

from benchmarks.step import others
from benchmarks.step.cases import CASES, OURS, Case
from crossmae.run.memory import peak_memory


def main(case: Case, name: str) -> None:
    """Prints milliseconds of a step (the median), images per second and the process's greatest memory in MB."""
    seconds = _ours(name, case) if name in OURS else _other(name, case)
    memory = peak_memory(gpu=False) / 2**20
    print(json.dumps({"ms_per_step": 1000 * seconds, "images_per_second": case.batch / seconds, "memory_mb": memory}))


def _ours(name: str, case: Case) -> float:
    from crossmae.analysis.speed import measure
    from crossmae.pretraining.recipe import read_recipe
    from crossmae.pretraining.run import load_pretraining_recipe

    batch = (f"global_batch={case.batch}", f"per_device_batch={case.batch}")
    # A later value counts: bf16 where it is asked for, though the recipes of GPUs have it anyway.
    recipe = load_pretraining_recipe(case.recipe, (*batch, "precision=fp32", *OURS[name]))
    return measure(read_recipe(recipe, seed=0), case.steps, case.warmup, device="cpu").ms_per_step / 1000


def _other(name: str, case: Case) -> float:
    step = others.BUILD[name](case.model, case.batch, torch.device("cpu"))
    for _ in range(case.warmup):
        step()
    return statistics.median(_timed(step) for _ in range(case.steps))


def _timed(step: others.Step) -> float:
    before = time.perf_counter()
    step()
    return time.perf_counter() - before


if __name__ == "__main__":
    main(CASES[sys.argv[1]], sys.argv[2])
