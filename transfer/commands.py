"""The subcommands of ``transfer``."""

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from crossmae.train.lock import owner
from transfer.harness.estimates import read_estimates
from transfer.harness.matrix import plan_table, summary
from transfer.harness.plan import Run
from transfer.harness.prepare import check_runs, disk_problems
from transfer.harness.setting import Setting
from transfer.harness.specs import load_specs
from transfer.harness.state import State, states_of
from transfer.options import (
    BackboneOption,
    DataOption,
    OutOption,
    SeedOption,
    SetOption,
    SuiteOption,
    TasksOption,
)

_WATCH_EVERY = 2.0


def register(app: typer.Typer) -> None:
    """Adds the subcommands to ``app``."""
    for command in (tasks, plan, check, status):
        app.command()(command)


def tasks(folders: TasksOption = None) -> None:
    """Lists the tasks.

    Example: transfer tasks --tasks my_tasks
    """
    table = Table("task", "title", "data", "metrics", "adapter")
    for name, spec in load_specs(folders or ()).items():
        table.add_row(name, spec.title, spec.dataset or "", ", ".join(spec.metrics), spec.adapter)
    Console().print(table)


def plan(
    suite: SuiteOption,
    out: OutOption,
    seed: SeedOption = None,
    backbone: BackboneOption = None,
    change: SetOption = None,
    folders: TasksOption = None,
) -> None:
    """Prints the matrix of runs: done, running, failed, missing, blocked by what, and their device-hours.

    Example: transfer plan --suite demo --out runs/demo
    """
    _, runs, _ = Setting.of(suite, out, seed, backbone, None, change, folders).load()
    Console().print(_picture(runs, out))


def check(
    suite: SuiteOption,
    out: OutOption = Path("runs"),
    backbone: BackboneOption = None,
    data: DataOption = None,
    change: SetOption = None,
    folders: TasksOption = None,
) -> None:
    """Looks for everything that would make a run of the suite fail later, and lists it all with its remedies.

    Example: transfer check --suite paper --data imagenet=/datasets/imagenet --data coco=/datasets/coco
    """
    _, runs, roots = Setting.of(suite, out, None, backbone, data, change, folders).load()
    console = Console()
    problems = check_runs(runs, roots, folders or (), console.print)
    found = list(dict.fromkeys([*disk_problems(out), *(line for lines in problems.values() for line in lines)]))
    for line in found:
        console.print(f"- {line}", markup=False, highlight=False, soft_wrap=True)
    console.print(f"{len(found)} problems" if found else "no problems")
    raise typer.Exit(1 if found else 0)


def status(
    suite: SuiteOption,
    out: OutOption,
    seed: SeedOption = None,
    backbone: BackboneOption = None,
    change: SetOption = None,
    folders: TasksOption = None,
    watch: Annotated[bool, typer.Option("--watch", help="Renew the picture until nothing runs any more.")] = False,
) -> None:
    """Shows what runs, also when run_all was started from another terminal or is gone.

    Example: transfer status --suite demo --out runs/demo --watch
    """
    _, runs, _ = Setting.of(suite, out, seed, backbone, None, change, folders).load()
    console = Console()
    if not watch:
        console.print(_picture(runs, out))
        return
    with Live(_picture(runs, out), console=console) as live:
        while owner(out) or any(one.state is State.RUNNING for one in states_of(runs)):
            time.sleep(_WATCH_EVERY)
            live.update(_picture(runs, out))


def _picture(runs: list[Run], out: Path) -> Group:
    statuses, estimates = states_of(runs), read_estimates(out)
    controller = owner(out)
    lines = [summary(statuses, estimates), f"run_all: {controller or 'not running'}"]
    return Group(plan_table(statuses, estimates), *(Text(line) for line in lines))
