"""``transfer`` and ``run_all``: the benchmark's command lines."""

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from crossmae.errors import UserError
from transfer import commands
from transfer.harness.benchmark import Benchmark
from transfer.harness.setting import Setting

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
commands.register(app)

_EXAMPLES = """Runs a suite: pretrains, runs every task on every backbone, and prints the tables.

The same command again runs only what is missing or failed, also after a crash or a kill.

    run_all --suite demo --out runs/demo

    run_all --suite demo --out runs/demo --seed 1

    run_all --suite backbone --backbone mine=mine.pth --out runs/mine --data coco=/datasets/coco --dry-run
"""


def run_all(
    suite: Annotated[str, typer.Option(help="A built-in suite, or the path of a suite's YAML file.")],
    out: Annotated[Path, typer.Option(help="Folder for runs, tables and the report.")],
    seed: Annotated[
        list[int] | None, typer.Option(help="Seed instead of the suite's; may be given several times.")
    ] = None,
    backbone: Annotated[list[str] | None, typer.Option(help="NAME=SOURCE instead of the suite's backbones.")] = None,
    data: Annotated[list[str] | None, typer.Option(help="NAME=PATH of a data set.")] = None,
    change: Annotated[list[str] | None, typer.Option("--set", help="TASK.KEY=VALUE of a recipe.")] = None,
    tasks: Annotated[list[Path] | None, typer.Option(help="Folder with tasks of your own.")] = None,
    devices: Annotated[str | None, typer.Option(help="0,1,2 (GPUs), cpu, or cpu:4 (slots); default: all.")] = None,
    hang_minutes: Annotated[float, typer.Option(help="A run silent for so long is ended and retried.")] = 30.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the commands; start nothing.")] = False,
) -> None:
    setting = Setting(
        suite, out, tuple(seed or ()), tuple(backbone or ()), tuple(data or ()), tuple(change or ()), tuple(tasks or ())
    )
    benchmark = Benchmark.of(setting, devices, hang_minutes * 60, _command_line(), Console())
    raise typer.Exit(benchmark.dry_run() if dry_run else benchmark.run())


run_all.__doc__ = _EXAMPLES


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
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(1)


def _command_line() -> str:
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
