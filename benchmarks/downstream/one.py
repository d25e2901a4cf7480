"""One implementation of one case, timed alone in this process.

python -m benchmarks.downstream.one CASE NAME [STEPS]
"""

import json
import statistics
import sys
import time
from dataclasses import replace
from importlib import import_module

import torch

from benchmarks.downstream.cases import CASES, Case, Step
from crossmae.run.memory import peak_memory
from crossmae.train.runtime.distributed import keep_freed_memory


def main(name: str, implementation: str, steps: str = "") -> None:
    """Prints the milliseconds of a step as JSON: on the clock, and of the processor, which other work disturbs less.

    Args:
        steps: that are timed, after no others; the case's own if empty.
    """
    case = CASES[name]
    if steps:
        case = replace(case, size=replace(case.size, warmup=0, steps=int(steps)))
    clock, processor = measure(case, implementation)
    figures = {"ms_per_step": 1000 * clock, "processor_ms_per_step": 1000 * processor}
    memory = peak_memory(case.device == "cuda")
    print(json.dumps({**figures, "images_per_second": case.size.batch / clock, "memory_bytes": memory}))


def measure(case: Case, implementation: str) -> tuple[float, float]:
    """Median seconds of a step, on the clock and of the processor."""
    device = torch.device(case.device)
    torch.manual_seed(0)
    # Our runs do this when they join their processes; "+memory" is this change alone.
    if implementation.startswith("ours") or implementation.endswith("+memory"):
        keep_freed_memory()
    build = import_module(f"benchmarks.downstream.{case.builders}").BUILD[implementation]
    step = build(case.size, device)
    for _ in range(case.size.warmup):
        step()
    clock, processor = zip(*(_timed(step, device) for _ in range(case.size.steps)), strict=True)
    return statistics.median(clock), statistics.median(processor)


def _timed(step: Step, device: torch.device) -> tuple[float, float]:
    _wait(device)
    clock, processor = time.perf_counter(), time.process_time()
    step()
    _wait(device)
    return time.perf_counter() - clock, time.process_time() - processor


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    main(*sys.argv[1:])
