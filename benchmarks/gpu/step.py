"""A pretraining step on one kind of device: ``python -m benchmarks.gpu.step NAME RECIPE BATCH DEVICE [OVERRIDE ...]``.

``NAME`` is ``ours``, with the recipe's values and the overrides, or an implementation of ``benchmarks.step.others`` for
the recipe's model. Prints one JSON object. Where the batch does not fit, half of it is taken, and so on.
"""

import gc
import json
import statistics
import sys
import time
from typing import Any

import torch

from benchmarks.step import others
from crossmae.analysis.cost import training_flops
from crossmae.analysis.speed import data_sheet_peak, measure
from crossmae.pretraining.recipe import PretrainRecipe, read_recipe
from crossmae.pretraining.run import load_pretraining_recipe
from crossmae.run.memory import peak_memory
from crossmae.run.rank import world_size

EPOCHS = 800
GPUS = 8
TIMED = {"cuda": (30, 10), "cpu": (2, 1)}
"""Updates that are timed, and those before them."""


def main(name: str, recipe: str, batch: str, device: str, *overrides: str) -> None:
    """Prints the figures of the greatest batch of a process that fits, ``batch`` or a half, a quarter, ... of it."""
    each = int(batch)
    while True:
        values = (f"global_batch={each * world_size()}", f"per_device_batch={each}", *overrides)
        chosen = read_recipe(load_pretraining_recipe(recipe, values), seed=0)
        try:
            figures = _ours(chosen, device) if name == "ours" else _other(name, chosen, each, device)
        except torch.cuda.OutOfMemoryError:
            # Processes would not halve together.
            if each == 1 or world_size() > 1:
                raise
        else:
            if figures is not None:
                print(json.dumps({"batch": each, **figures}))
            return
        each //= 2
        gc.collect()
        torch.cuda.empty_cache()


def _ours(chosen: PretrainRecipe, device: str) -> dict[str, Any] | None:
    """The trainer's own updates; None on processes that leave the printing to the first."""
    speed = measure(chosen, *TIMED[device], device=device)
    hours = EPOCHS * speed.minutes_per_epoch / 60 / (GPUS / speed.processes)
    return {**speed.to_dict(), "hours_on_eight": hours} if speed.is_main else None


def _other(name: str, chosen: PretrainRecipe, batch: int, device: str) -> dict[str, Any]:
    """Another implementation, in bf16 on a GPU; its share of the peak counts the FLOPs of our model."""
    step = others.BUILD[name](str(chosen.protocol.model["preset"]), batch, torch.device(device))
    timed, before = TIMED[device]
    seconds = statistics.median([_seconds(step, device) for _ in range(before + timed)][before:])
    rate = batch / seconds
    figures = {"ms_per_step": 1000 * seconds, "images_per_second": rate, "memory_bytes": peak_memory(device == "cuda")}
    peak = data_sheet_peak(torch.cuda.get_device_name()) if device == "cuda" else None
    return {**figures, "mfu": None if peak is None else training_flops(chosen.model) * rate / peak}


def _seconds(step: others.Step, device: str) -> float:
    before = time.perf_counter()
    step()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - before


if __name__ == "__main__":
    main(*sys.argv[1:])
