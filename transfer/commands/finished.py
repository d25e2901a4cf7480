"""``transfer evaluate`` and ``transfer calibrate``: finished downstream models, which are measured and not trained."""

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from crossmae.errors import UserError
from results.store import read_record
from transfer.calibration.registry import BUILT_IN, load_registry
from transfer.calibration.verdict import Candidate, conclusion, judge, look_for, table_of
from transfer.commands.options import DataOption, DevicesOption, TasksOption
from transfer.harness.benchmark import EXIT_INTERRUPTED, Benchmark
from transfer.harness.folder.request import request_for, write_request
from transfer.harness.launch.choose import choose_launcher
from transfer.harness.launch.devices import Pool, find_pool
from transfer.harness.plan.data_roots import DataRoots, data_roots
from transfer.harness.plan.plan import Run, evaluation_of, probe_of
from transfer.harness.plan.suite import Suite
from transfer.harness.plan.tasks import load_specs, make_importable, recipe_of, spec_of
from transfer.harness.preflight.data import look_at_data
from transfer.harness.worker.process_tree import PARENT_VARIABLE, worker_command
from transfer.task import TaskSpec

_HANG_MINUTES = 600.0
"""An evaluation on CPUs takes hours and reports nothing on the way."""


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
        raise UserError(f"no weights at {weights}", "give the file of a finished model")
    make_importable(folders or ())
    out.mkdir(parents=True, exist_ok=True)
    pool = find_pool(devices)
    name = re.sub(r"[^A-Za-z0-9._+-]", "_", weights.stem).lstrip(".") or "model"
    roots, asked = data_roots(data or (), demo), recipe_of(spec, recipe, tuple(change or ()))
    run = evaluation_of(weights, name, spec, asked, out, _fingerprint(spec, roots, folders or (), out), demo)
    request = request_for(run, roots, folders or (), "transfer evaluate")
    with TemporaryDirectory(prefix=".evaluate-", dir=out.resolve().parent) as scratch:
        # Asked for by name, it is measured again, for the data may have changed; a former record stays until it is.
        measured = Path(scratch) / run.folder.name
        write_request(measured, request)
        _work(measured, pool)
        _replace(run.folder, measured)
    Console().print(_metrics_table(read_record(run.folder).metrics))


def _fingerprint(spec: TaskSpec, roots: DataRoots, folders: Sequence[Path], out: Path) -> str | None:
    seen = look_at_data([spec], roots, folders, out, lambda line: None)
    for problem in seen.problems.get(spec.name, []):
        raise UserError(problem)
    return seen.fingerprints.get(spec.name)


def _replace(folder: Path, measured: Path) -> None:
    """Puts ``measured`` in the place of ``folder``; if that fails, the former one is put back."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    former = measured.with_name("former")
    if folder.exists():
        folder.rename(former)
    try:
        shutil.move(measured, folder)
    except BaseException:
        if former.exists():
            former.rename(folder)
        raise


def _work(folder: Path, pool: Pool) -> None:
    environment = {**os.environ, **pool.environment(pool.names[:1]), PARENT_VARIABLE: str(os.getpid())}
    if subprocess.run(worker_command(folder), env=environment).returncode:
        raise typer.Exit(1)


def _metrics_table(metrics: dict[str, float]) -> Table:
    table = Table("metric", "value")
    for name, value in metrics.items():
        table.add_row(name, f"{value:.2f}")
    return table


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

    A registry may name backbones, too, on which a frozen probe is run (transfer/calibration/frozen.yaml).
    Only what lies in the folder of weights is evaluated; for the rest it says where to get it. The exit code is 0 if
    something was evaluated and all of it is reproduced. The same command again resumes where it stopped.

    Example: transfer calibrate --weights /weights --data imagenet=/datasets/imagenet --data coco=/datasets/coco
    """
    folders, console = folders or [], Console()
    make_importable(folders)
    out.mkdir(parents=True, exist_ok=True)
    candidates = look_for(load_registry(registry), weights, out / "digests.json")
    roots = data_roots(data or ())
    runs = _plan(candidates, roots, folders, out)
    benchmark = _benchmark(list(runs.values()), out, roots, devices, folders, console)
    if dry_run:
        benchmark.dry_run()
    elif runs and benchmark.run() == EXIT_INTERRUPTED:
        raise typer.Exit(EXIT_INTERRUPTED)
    verdicts = judge(candidates, runs)
    text, good = conclusion(verdicts)
    console.print(table_of(verdicts))
    for line in dict.fromkeys(
        f"{verdict.model}: {verdict.text}: {verdict.reason}" for verdict in verdicts if verdict.reason
    ):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    if not dry_run:
        console.print(text, markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(0 if good or dry_run else 1)


def _plan(candidates: list[Candidate], roots: DataRoots, folders: list[Path], out: Path) -> dict[str, Run]:
    """By model name, for the files that are what was published."""
    specs = load_specs(folders)
    originals = [one for one in candidates if one.file is not None and one.is_original]
    tasks = [spec_of(specs, one.model.task) for one in originals]
    data = look_at_data(tasks, roots, folders, out, lambda line: None).fingerprints
    runs = {}
    for one, spec in zip(originals, tasks, strict=True):
        assert one.file is not None
        recipe, source = recipe_of(spec, one.model.recipe), one.model.source(one.file)
        rest = one.model.name, spec, recipe, out, data.get(spec.name)
        runs[one.model.name] = evaluation_of(one.file, *rest) if source is None else probe_of(source, *rest)
    return runs


def _benchmark(
    runs: list[Run], out: Path, roots: DataRoots, devices: str | None, folders: list[Path], console: Console
) -> Benchmark:
    suite = Suite("calibration", "Released models", (), {})
    launcher = choose_launcher("local", devices, None, _HANG_MINUTES)
    return Benchmark(suite, runs, out, roots, tuple(folders), "transfer calibrate", launcher, console)
