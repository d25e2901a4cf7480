"""``transfer evaluate``."""

import os
import subprocess
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from crossmae.errors import UserError
from results.store import read_record
from transfer.commands.options import DataOption, DevicesOption, TasksOption
from transfer.harness.folder.request import write_request
from transfer.harness.folder.requests import request_maker
from transfer.harness.launch.devices import Pool, find_pool
from transfer.harness.plan.data_roots import data_roots
from transfer.harness.plan.finished import evaluation_of
from transfer.harness.plan.tasks import load_specs, make_importable, recipe_of, spec_of
from transfer.harness.worker.process_tree import PARENT_VARIABLE, worker_command


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
    spec = spec_of(load_specs(folders or ()), task)
    if not weights.is_file():
        raise UserError(f"no weights at {weights}; give the file of a finished model")
    make_importable(folders or ())
    out.mkdir(parents=True, exist_ok=True)
    pool = find_pool(devices)
    run = evaluation_of(weights, weights.stem, spec, recipe_of(spec, recipe, tuple(change or ())), out, demo)
    request_of = request_maker(data_roots(data or (), demo), tuple(folders or ()), "transfer evaluate", {})
    write_request(run.folder, request_of(run, 1))
    # Asked for by name, it is measured again: the data may have changed.
    (run.folder / "record.json").unlink(missing_ok=True)
    _work(run.folder, pool)
    Console().print(_table(read_record(run.folder).metrics))


def _work(folder: Path, pool: Pool) -> None:
    environment = {**os.environ, **pool.environment(pool.names[:1]), PARENT_VARIABLE: str(os.getpid())}
    if subprocess.run(worker_command(folder), env=environment).returncode:
        raise typer.Exit(1)


def _table(metrics: dict[str, float]) -> Table:
    table = Table("metric", "value")
    for name, value in metrics.items():
        table.add_row(name, f"{value:.2f}")
    return table
