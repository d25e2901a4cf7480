"""``crossmae bench``."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from crossmae.analysis.speed import Speed
    from crossmae.train.config import FitExecution

EPILOG = (
    "Examples: crossmae bench crossmae25_vit_b16 global_batch=512 · crossmae bench demo_crossmae compile=true · "
    "torchrun --nproc-per-node 8 -m crossmae bench crossmae25_vit_b16"
)


def bench(
    recipe: Annotated[str, typer.Argument(help="A pretraining recipe's name, or the path of a YAML file.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="Values of the recipe to change, as key=value.")] = None,
    steps: Annotated[int, typer.Option(help="Updates that are timed.", min=1)] = 20,
    warmup: Annotated[int, typer.Option(help="Updates before them.", min=1)] = 5,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    out: Annotated[Path | None, typer.Option(help="JSON file for the figures.")] = None,
) -> None:
    """Times real training steps on images that lie on the device already: what the model and the optimizer take."""
    from crossmae.analysis.speed import measure
    from crossmae.pretraining.recipe import settings
    from crossmae.pretraining.run import load_pretraining_recipe

    resolved = load_pretraining_recipe(recipe, tuple(overrides or ()))
    chosen = settings(resolved, seed=0)
    speed = measure(chosen, steps, warmup, device)
    if not speed.is_main:
        return
    for line in _lines(speed, chosen.execution):
        print(line)
    if out is not None:
        out.write_text(json.dumps({"recipe": resolved.name, **speed.to_dict()}, indent=1) + "\n")


def _lines(speed: "Speed", execution: "FitExecution") -> list[str]:
    lines = [
        f"{speed.device}, {os.environ.get('OMP_NUM_THREADS', 'all')} threads; {speed.precision}, "
        f"matmul precision {execution.matmul_precision}, compile {str(execution.compile).lower()}",
        f"batch: {speed.processes} processes x {speed.accumulation} micro-batches x {speed.micro_batch} images",
        f"ms per step: {speed.ms_per_step:.1f}",
        f"images/s: {speed.images_per_second:.1f}",
        f"minutes per ImageNet epoch: {speed.minutes_per_epoch:.2f}",
        f"peak memory: {speed.memory_bytes / 2**20:.0f} MB",
        f"achieved per process: {speed.flops_per_second / 1e12:.3f} TFLOP/s",
        f"large matrix products: {speed.matmul_flops_per_second / 1e12:.3f} TFLOP/s; share {speed.matmul_share:.1%}",
    ]
    if speed.mfu is not None:
        lines.append(f"MFU (of the data sheet's bf16 peak): {speed.mfu:.1%}")
    return lines
