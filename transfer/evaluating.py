"""``transfer evaluate``."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from crossmae.errors import UserError
from crossmae.recipe import Recipe
from transfer.harness.data import data_roots
from transfer.harness.devices import Pool, find_pool
from transfer.harness.folder import Request, write_request
from transfer.harness.processes import PARENT_VARIABLE
from transfer.harness.specs import load_specs, recipe_of
from transfer.options import DataOption, DevicesOption, TasksOption
from transfer.task import TaskSpec


def evaluate(
    task: Annotated[str, typer.Argument(help="Name of a task; see `transfer tasks`.")],
    weights: Annotated[Path, typer.Option(help="The finished model: a run's own, or a released file.")],
    recipe: Annotated[str, typer.Option(help="Recipe that the model was made by, such as vit_b16 or demo.")],
    out: Annotated[Path, typer.Option(help="Folder for what the evaluation leaves.")] = Path("runs/evaluation"),
    change: Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE of the recipe.")] = None,
    data: DataOption = None,
    demo: Annotated[bool, typer.Option("--demo", help="Use the demo data.")] = False,
    devices: DevicesOption = None,
    folders: TasksOption = None,
) -> None:
    """Evaluates a finished downstream model; no training.

    Example: transfer evaluate coco_vitdet --weights model_final.pkl --recipe vit_b16 --data coco=/datasets/coco
    """
    specs = load_specs(folders or ())
    if task not in specs:
        raise UserError(f"no task {task!r}; known tasks: {', '.join(specs)}")
    if not weights.exists():
        raise UserError(f"no weights at {weights}")
    spec = specs[task]
    root = data_roots(data or (), demo).of(spec.dataset) if spec.dataset else None
    pool = find_pool(devices)
    folder = out / task / weights.stem
    write_request(folder, _request(spec, recipe_of(spec, recipe, tuple(change or ())), root, pool, folders or []))
    _run(folder, weights, pool)
    _show(json.loads((folder / "metrics.json").read_text()))


def _request(spec: TaskSpec, recipe: Recipe, root: Path | None, pool: Pool, folders: list[Path]) -> Request:
    return Request(
        identity="evaluation",
        task=spec,
        recipe=recipe,
        backbone="evaluation",
        source=None,
        lineage={},
        seed=0,
        data_root=None if root is None else str(root.resolve()),
        task_folders=tuple(str(folder.resolve()) for folder in folders),
        devices=1,
        precision="bf16" if pool.gpus else "fp32",
        deviations=(),
        command="transfer evaluate",
    )


def _run(folder: Path, weights: Path, pool: Pool) -> None:
    command = [sys.executable, "-P", "-m", "transfer.harness.evaluation", str(folder), str(weights)]
    environment = {**os.environ, **pool.environment(pool.names[:1]), PARENT_VARIABLE: str(os.getpid())}
    if subprocess.run(command, env=environment).returncode:
        raise typer.Exit(1)


def _show(metrics: dict[str, float]) -> None:
    table = Table("metric", "value")
    for name, value in metrics.items():
        table.add_row(name, f"{value:.2f}")
    Console().print(table)
