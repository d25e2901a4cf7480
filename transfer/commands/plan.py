"""``transfer tasks``, ``plan`` and ``status``: what there is to run, and how far it is."""

import time
from collections.abc import Container
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from crossmae.run.lock import owner
from transfer.commands.options import (
    BackboneOption,
    OutOption,
    SeedOption,
    SetOption,
    SuiteOption,
    TasksOption,
)
from transfer.harness.folder.expected import read_expected
from transfer.harness.folder.state import State, Status, states_of
from transfer.harness.launch.slurm.squeue import jobs_of
from transfer.harness.plan.options import Setting
from transfer.harness.plan.plan import Run
from transfer.harness.plan.tasks import load_specs
from transfer.harness.show.status_table import plan_table, summary

_WATCH_EVERY = 2.0
_GOES_ON = (State.RUNNING, State.QUEUED)
_SHOWN = (*_GOES_ON, State.FAILED)


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
    Console().print(_picture(_look(runs), out))


def status(
    suite: SuiteOption,
    out: OutOption,
    seed: SeedOption = None,
    backbone: BackboneOption = None,
    change: SetOption = None,
    folders: TasksOption = None,
    watch: Annotated[bool, typer.Option("--watch", help="Renew the picture until nothing runs any more.")] = False,
) -> None:
    """Shows what runs, waits in Slurm's queue or failed, also when run_all has another terminal or is gone.

    Example: transfer status --suite demo --out runs/demo --watch
    """
    _, runs, _ = Setting.of(suite, out, seed, backbone, None, change, folders).load()
    console, statuses = Console(), _look(runs)
    if not watch:
        console.print(_picture(statuses, out, _SHOWN))
        return
    with Live(_picture(statuses, out, _SHOWN), console=console) as live:
        while owner(out) or any(one.state in _GOES_ON for one in statuses):
            time.sleep(_WATCH_EVERY)
            statuses = _look(runs)
            live.update(_picture(statuses, out, _SHOWN))


def _look(runs: list[Run]) -> list[Status]:
    return states_of(runs, jobs_of(runs))


def _picture(statuses: list[Status], out: Path, shown: Container[State] = tuple(State)) -> Group:
    """A row for each run in a state of ``shown``, and all of them in counts."""
    estimates = read_expected(out)
    rows = [one for one in statuses if one.state in shown]
    lines = [summary(statuses, estimates), f"run_all: {owner(out) or 'not running'}"]
    lines += [f"logs: {out}/TASK/BACKBONE/SEED-*/log.txt"] if rows else []
    return Group(plan_table(rows, estimates), *(Text(line) for line in lines))
