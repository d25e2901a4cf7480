"""``transfer tasks``, ``plan``, ``check`` and ``status``: what there is to run, what would fail, and how far it is."""

import os
import time
from collections.abc import Container
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from crossmae.errors import UserError, printable
from crossmae.run.lock import owner
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
from transfer.harness.folder.expected import read_expected
from transfer.harness.folder.state import RunState, RunStatus, states_of
from transfer.harness.launch.choose import choose_launcher
from transfer.harness.launch.slurm.squeue import jobs_of
from transfer.harness.plan.options import BenchmarkOptions
from transfer.harness.plan.plan import Run
from transfer.harness.plan.tasks import load_specs
from transfer.harness.preflight.check import check_runs, disk_problems
from transfer.harness.show.status import plan_table, shown, summary

_WATCH_EVERY = 2.0
_UNCUT = 1000
_UNDER_WAY = (RunState.RUNNING, RunState.QUEUED)
_SHOWN = (*_UNDER_WAY, RunState.FAILED)


def tasks(folders: TasksOption = None) -> None:
    """Lists the tasks.

    Example: transfer tasks --tasks my_tasks
    """
    table = Table("task", "title", "data", "metrics", "adapter")
    for name, spec in load_specs(folders or ()).items():
        cells = (name, spec.title, spec.dataset or "", ", ".join(spec.metrics), spec.adapter)
        table.add_row(*map(shown, cells))
    _console().print(table)


def plan(
    suite: SuiteOption,
    out: OutOption,
    seed: SeedOption = None,
    backbone: BackboneOption = None,
    data: DataOption = None,
    change: SetOption = None,
    folders: TasksOption = None,
) -> None:
    """Prints the matrix of runs: done, running, failed, missing, blocked by what, and their device-hours.

    Example: transfer plan --suite demo --out runs/demo
    """
    _, runs, _ = BenchmarkOptions.of(suite, out, seed, backbone, data, change, folders).load()
    _console().print(_picture(_look(runs), out))


def check(
    suite: SuiteOption,
    out: OutOption = Path("runs"),
    backbone: BackboneOption = None,
    data: DataOption = None,
    change: SetOption = None,
    folders: TasksOption = None,
    devices: DevicesOption = None,
    launcher: LauncherOption = "local",
    profile: ProfileOption = None,
) -> None:
    """Looks for everything that would make a run of the suite fail later, and lists it all with its remedies.

    Example: transfer check --suite paper --data imagenet=/datasets/imagenet --data coco=/datasets/coco
    """
    console, problems = Console(), list[str]()
    options = BenchmarkOptions.of(suite, out, None, backbone, data, change, folders)
    _, runs, roots = options.load(note=lambda error: problems.append(str(error)))
    problems += disk_problems(out, runs)
    try:
        problems += choose_launcher(launcher, devices, profile, hang_minutes=30).problems(runs)
    except UserError as error:
        problems.append(str(error))
    report = partial(console.print, markup=False, highlight=False, soft_wrap=True)
    for lines in check_runs(runs, roots, folders or (), report).values():
        problems += lines
    problems = list(dict.fromkeys(problems))
    for line in problems:
        console.print(f"- {printable(line)}", markup=False, highlight=False, soft_wrap=True)
    console.print(f"{len(problems)} problems" if problems else "no problems")
    raise typer.Exit(1 if problems else 0)


def status(
    suite: SuiteOption,
    out: OutOption,
    seed: SeedOption = None,
    backbone: BackboneOption = None,
    data: DataOption = None,
    change: SetOption = None,
    folders: TasksOption = None,
    watch: Annotated[bool, typer.Option("--watch", help="Renew the picture until nothing runs any more.")] = False,
) -> None:
    """Shows what runs, waits in Slurm's queue or failed, also when run_all has another terminal or is gone.

    Example: transfer status --suite demo --out runs/demo --watch
    """
    _, runs, _ = BenchmarkOptions.of(suite, out, seed, backbone, data, change, folders).load()
    console, statuses = Console(), _look(runs)
    if not watch:
        console.print(_picture(statuses, out, _SHOWN))
        return
    with Live(_picture(statuses, out, _SHOWN), console=console) as live:
        while owner(out) or any(status.state in _UNDER_WAY for status in statuses):
            time.sleep(_WATCH_EVERY)
            statuses = _look(runs)
            live.update(_picture(statuses, out, _SHOWN))


def _console() -> Console:
    """In a pipe or a file nothing is cut to a width, so that what is searched for is found."""
    console = Console()
    return console if console.is_terminal or "COLUMNS" in os.environ else Console(width=_UNCUT)


def _look(runs: list[Run]) -> list[RunStatus]:
    return states_of(runs, jobs_of(runs))


def _picture(statuses: list[RunStatus], out: Path, shown: Container[RunState] = tuple(RunState)) -> Group:
    """A row for each run in a state of ``shown``, and all of them in counts."""
    estimates = read_expected(out)
    rows = [status for status in statuses if status.state in shown]
    lines = [summary(statuses, estimates), f"run_all: {owner(out) or 'not running'}"]
    lines += [f"logs: {out}/TASK/BACKBONE/SEED-*/log.txt"] if rows else []
    return Group(plan_table(rows, estimates), *(Text(line) for line in lines))
