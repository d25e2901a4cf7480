"""``transfer estimate``."""

import os
import re
import shutil
import socket
from dataclasses import replace
from pathlib import Path
from tempfile import mkdtemp
from typing import Annotated

import psutil
import typer
from rich.console import Console
from rich.table import Table

from crossmae.errors import UserError
from transfer.commands.options import (
    BackboneOption,
    DataOption,
    DevicesOption,
    OutOption,
    SeedOption,
    SetOption,
    SuiteOption,
    TasksOption,
)
from transfer.harness.benchmark import Benchmark
from transfer.harness.folder.expected import Expected, write_expected
from transfer.harness.folder.state import RunState, states_of
from transfer.harness.launch.choose import choose_launcher
from transfer.harness.launch.devices import find_pool
from transfer.harness.plan.options import BenchmarkOptions
from transfer.harness.plan.plan import make_plan
from transfer.harness.show.estimates import Estimate, distinct, extrapolate, trial_suite, wall_seconds
from transfer.harness.show.status import shown

_HOST = re.sub(r"\W", "_", socket.gethostname())


def estimate(
    suite: SuiteOption,
    out: OutOption,
    seed: SeedOption = None,
    backbone: BackboneOption = None,
    data: DataOption = None,
    change: SetOption = None,
    folders: TasksOption = None,
    devices: DevicesOption = None,
    price: Annotated[float | None, typer.Option(help="Money per device-hour.")] = None,
) -> None:
    """Times a few real updates of each task on this machine and says what the runs that are not done will take.

    Example: transfer estimate --suite demo --out runs/demo --price 1.5
    """
    options = BenchmarkOptions.of(suite, out, seed, backbone, data, change, folders)
    console = Console()
    scratch = _scratch(_existing(out))
    try:
        estimates = _measure(options, scratch, devices, console)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    write_expected(
        out, {estimate.run.identity: Expected(estimate.device_hours, estimate.bytes_on_disk) for estimate in estimates}
    )
    console.print(_table(estimates))
    console.print(_totals(estimates, find_pool(devices).size, price))


def _measure(options: BenchmarkOptions, scratch: Path, devices: str | None, console: Console) -> list[Estimate]:
    launcher = choose_launcher("local", devices, None, hang_minutes=30)
    benchmark = Benchmark.of(options, launcher, "transfer estimate", console)
    runs, trials_plan = benchmark.runs, trial_suite(benchmark.suite, benchmark.runs)
    data = {run.task.name: run.data for run in runs if run.data is not None}
    trials = make_plan(trials_plan, {run.task.name: run.task for run in runs}, scratch, data=data)
    benchmark = replace(benchmark, suite=replace(trials_plan, tables=()), runs=distinct(trials), out=scratch)
    if benchmark.run():
        raise UserError("not everything could be timed", "mend what is named above and start again")
    done = {status.run.folder for status in states_of(runs) if status.state is RunState.DONE}
    return [estimate for estimate in extrapolate(runs, trials) if estimate.run.folder not in done]


def _existing(out: Path) -> Path:
    """Returns the folder of ``out``, on the same disk: in ``out`` itself the trials would count as results."""
    parent = out.resolve().parent
    parent.mkdir(parents=True, exist_ok=True)
    return parent


def _scratch(parent: Path) -> Path:
    """A new folder that says whose it is; those of processes that were killed are removed."""
    for old in parent.glob(".estimate-*-*"):
        _, host, pid, *_ = old.name.split("-")
        if host == _HOST and pid.isdecimal() and not psutil.pid_exists(int(pid)):
            shutil.rmtree(old, ignore_errors=True)
    return Path(mkdtemp(prefix=f".estimate-{_HOST}-{os.getpid()}-", dir=parent))


def _table(estimates: list[Estimate]) -> Table:
    groups: dict[tuple[str, str], list[Estimate]] = {}
    for estimate in estimates:
        groups.setdefault((estimate.run.task.name, estimate.run.recipe.name), []).append(estimate)
    table = Table("task", "recipe", "runs", "devices", "minutes each", "device-hours")
    for (task, recipe), group in groups.items():
        minutes = f"{sum(estimate.seconds for estimate in group) / len(group) / 60:.1f}"
        hours = f"{sum(estimate.device_hours for estimate in group):.3f}"
        table.add_row(shown(task), shown(recipe), str(len(group)), str(group[0].devices), minutes, hours)
    return table


def _totals(estimates: list[Estimate], devices: int, price: float | None) -> str:
    hours = sum(estimate.device_hours for estimate in estimates)
    wall = wall_seconds(estimates, devices) / 60
    disk = sum(estimate.bytes_on_disk for estimate in estimates) / 2**30
    money = "" if price is None else f", {hours * price:.2f} in money"
    return f"together {hours:.2f} device-hours{money}; {wall:.1f} minutes on {devices} devices; {disk:.2f} GiB of disk"
