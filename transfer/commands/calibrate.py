"""``transfer calibrate``."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from transfer.calibration.disk import Candidate, look_for
from transfer.calibration.registry import BUILT_IN, load_registry
from transfer.calibration.verdict import conclusion, judge, table_of
from transfer.commands.options import DataOption, DevicesOption, TasksOption
from transfer.harness.benchmark import EXIT_INTERRUPTED, Benchmark
from transfer.harness.folder.requests import request_maker
from transfer.harness.launch.choose import find_place
from transfer.harness.plan.data_roots import data_roots
from transfer.harness.plan.finished import evaluation_of
from transfer.harness.plan.plan import Run
from transfer.harness.plan.suite import Suite
from transfer.harness.plan.tasks import load_specs, make_importable, recipe_of, spec_of

_HANG_MINUTES = 600.0
"""An evaluation on CPUs takes hours and reports nothing on the way."""


def calibrate(
    weights: Annotated[Path, typer.Option(help="Folder with the released files.")],
    out: Annotated[Path, typer.Option(help="Folder for the evaluations.")] = Path("runs/calibration"),
    registry: Annotated[Path, typer.Option(help="YAML file of the released models.")] = BUILT_IN,
    data: DataOption = None,
    devices: DevicesOption = None,
    folders: TasksOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be evaluated; start nothing.")] = False,
) -> None:
    """Evaluates released models and says whether this installation reproduces their published numbers.

    Only what lies in the folder of weights is evaluated; for the rest it says where to get it. The exit code is 0 if
    something was evaluated and all of it is reproduced. The same command again goes on where it stopped.

    Example: transfer calibrate --weights /weights --data imagenet=/datasets/imagenet --data coco=/datasets/coco
    """
    folders, console = folders or [], Console()
    make_importable(folders)
    out.mkdir(parents=True, exist_ok=True)
    candidates = look_for(load_registry(registry), weights, out / "digests.json")
    runs = _plan(candidates, folders, out)
    benchmark = _benchmark(list(runs.values()), out, data or [], devices, folders, console)
    if dry_run:
        benchmark.dry_run()
    elif runs and benchmark.run() == EXIT_INTERRUPTED:
        raise typer.Exit(EXIT_INTERRUPTED)
    verdicts = judge(candidates, runs)
    text, good = conclusion(verdicts)
    console.print(table_of(verdicts))
    for line in dict.fromkeys(f"{one.model}: {one.text}: {one.reason}" for one in verdicts if one.reason):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    if not dry_run:
        console.print(text, markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(0 if good or dry_run else 1)


def _plan(candidates: list[Candidate], folders: list[Path], out: Path) -> dict[str, Run]:
    """By model name, for the files that are what was published."""
    specs = load_specs(folders)
    runs = {}
    for one in candidates:
        if one.file is not None and one.is_original:
            spec = spec_of(specs, one.model.task)
            recipe = recipe_of(spec, one.model.recipe)
            runs[one.model.name] = evaluation_of(one.file, one.model.name, spec, recipe, out)
    return runs


def _benchmark(
    runs: list[Run], out: Path, data: list[str], devices: str | None, folders: list[Path], console: Console
) -> Benchmark:
    roots = data_roots(data)
    place = find_place("local", devices, None, _HANG_MINUTES)
    request_of = request_maker(roots, tuple(folders), "transfer calibrate", {})
    suite = Suite("calibration", "Released models", (), {})
    return Benchmark(suite, runs, out, roots, tuple(folders), place.launcher(request_of), console)
