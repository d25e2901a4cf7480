"""``transfer`` and ``run_all``: the benchmark's command lines."""

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from crossmae.errors import UserError, one_line
from crossmae.run.lock import refuse_if_held
from transfer.commands.estimate import estimate
from transfer.commands.export import export
from transfer.commands.finished import calibrate, evaluate
from transfer.commands.options import (
    BackboneOption,
    DataOption,
    DevicesOption,
    LauncherOption,
    OutOption,
    ProfileOption,
    SeedOption,
    SetOption,
    SuiteOption,
    TasksOption,
)
from transfer.commands.plan import check, plan, status, tasks
from transfer.commands.results import board, claims, compare_backbones, curves, report, tables
from transfer.commands.serve import serve
from transfer.commands.tune import tune
from transfer.harness.benchmark import Benchmark
from transfer.harness.launch.choose import choose_launcher
from transfer.harness.plan.options import BenchmarkOptions

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Compares ViT backbones on downstream tasks.",
)
for command in (
    tasks,
    plan,
    check,
    estimate,
    status,
    tune,
    evaluate,
    tables,
    claims,
    board,
    report,
    curves,
    serve,
    export,
    calibrate,
):
    app.command()(command)
app.command("compare")(compare_backbones)


def run_all(
    suite: SuiteOption,
    out: OutOption,
    seed: SeedOption = None,
    backbone: BackboneOption = None,
    data: DataOption = None,
    change: SetOption = None,
    tasks: TasksOption = None,
    devices: DevicesOption = None,
    launcher: LauncherOption = "local",
    profile: ProfileOption = None,
    hang_minutes: Annotated[float, typer.Option(help="A run silent for so long is ended and retried.")] = 30.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the commands; start nothing.")] = False,
) -> None:
    """Runs a suite: pretrains, runs every task on every backbone, and prints the tables.

    The same command again runs only what is missing or failed, also after a crash or a kill.

    Examples:

        run_all --suite demo --out runs/demo --seed 1

        run_all --suite backbone --backbone mine=mine.pth --out runs/mine --data coco=/datasets/coco --dry-run

        run_all --suite paper --out runs/paper --launcher slurm --profile cluster.yaml
    """
    options = BenchmarkOptions.of(suite, out, seed, backbone, data, change, tasks)
    starts = choose_launcher(launcher, devices, profile, hang_minutes)
    if not dry_run:
        refuse_if_held(out)  # before the data is listed, which takes a while
    benchmark = Benchmark.of(options, starts, _command_line(), Console(), write=not dry_run)
    raise typer.Exit(benchmark.dry_run() if dry_run else benchmark.run())


def main() -> None:
    """Entry point of ``transfer``."""
    _in_one_line(app)


def run_all_main() -> None:
    """Entry point of ``run_all``."""
    command = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    command.command()(run_all)
    _in_one_line(command)


def _in_one_line(command: Callable[[], None]) -> None:
    try:
        command()
    except (UserError, OSError) as error:
        print(one_line(error), file=sys.stderr)
        sys.exit(1)


def _command_line() -> str:
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
