"""``transfer tune``: values chosen on a held-out part of the training data, then one run with them."""

import hashlib
import itertools
import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.console import Console

from crossmae.errors import UserError, printable
from crossmae.recipe import digest_of
from results.store import read_record
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
from transfer.harness.benchmark import EXIT_INTERRUPTED, Benchmark
from transfer.harness.folder.state import RunState, states_of
from transfer.harness.launch.choose import choose_launcher
from transfer.harness.plan.options import BenchmarkOptions
from transfer.harness.plan.plan import Run, make_plan
from transfer.harness.plan.suite import Suite
from transfer.harness.preflight.data import look_at_data
from transfer.task import TaskSpec

_RULE = "a fifth of the training images of each class, those whose names have the smallest SHA-256"

Point = tuple[str, ...]
"""``key=value`` changes of a recipe, one for each key of the grid."""


def tune(
    task: Annotated[str, typer.Argument(help="Name of a task of the suite.")],
    suite: SuiteOption,
    out: OutOption,
    grid: Annotated[list[str], typer.Option(help="KEY=VALUE,VALUE,... of the recipe; repeat it for several keys.")],
    budget: Annotated[int | None, typer.Option(help="Most trials for each backbone. Default: the whole grid.")] = None,
    seed: SeedOption = None,
    backbone: BackboneOption = None,
    data: DataOption = None,
    change: SetOption = None,
    folders: TasksOption = None,
    devices: DevicesOption = None,
    launcher: LauncherOption = "local",
    profile: ProfileOption = None,
) -> None:
    """Chooses values for each backbone on a held-out part of the training images, then runs the task once with them.

    The validation images are not looked at before. The record of the last run names the choice and all trials. The
    same command again, after a kill, repeats no trial that is done.

    Example: transfer tune pets_finetune --suite own --data pets=pets --grid base_lr=1.0e-3,2.0e-3 --out runs/pets
    """
    console = Console()
    points = grid_points(grid, budget)
    options = BenchmarkOptions.of(suite, out, seed, backbone, data, change, folders)
    starts = choose_launcher(launcher, devices, profile, hang_minutes=30)
    command = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
    benchmark = _only(Benchmark.of(options, starts, command, console), task)
    trials = _Trials(benchmark, points)
    if trials.benchmark.run() == EXIT_INTERRUPTED:
        raise typer.Exit(EXIT_INTERRUPTED)
    choices = [trials.choice(name) for name in dict.fromkeys(run.backbone for run in benchmark.runs)]
    for choice in choices:
        text = f"{choice.backbone}: {', '.join(choice.point)} of {len(choice.trials)} trials"
        console.print(printable(text), markup=False, highlight=False, soft_wrap=True)
    runs = [run for choice in choices for run in _final_runs(benchmark, choice)]
    raise typer.Exit(replace(benchmark, runs=runs).run())


def grid_points(grid: Sequence[str], budget: int | None) -> list[Point]:
    """All combinations of ``KEY=VALUE,VALUE`` texts, or ``budget`` of them, drawn by their digests.

    Raises:
        UserError: a text of another form, or a budget of none.
    """
    axes: list[list[str]] = []
    for text in grid:
        key, equals, values = text.partition("=")
        try:
            listed = yaml.safe_load(f"[{values}]")
        except yaml.YAMLError:
            listed = None
        if not (key and equals and listed):
            raise UserError(f"--grid {text}: give KEY=VALUE,VALUE, such as base_lr=1.0e-3,2.0e-3")
        axes.append([f"{key}={json.dumps(value)}" for value in dict.fromkeys(map(_hashable, listed))])
    points = list(itertools.product(*axes))
    if budget is None or budget >= len(points):
        return points
    if budget < 1:
        raise UserError(f"--budget {budget} leaves no trial", "give a positive number")
    drawn = sorted(points, key=lambda point: hashlib.sha256("\n".join(point).encode()).digest())[:budget]
    return [point for point in points if point in drawn]


def _hashable(value: Any) -> Any:
    return tuple(map(_hashable, value)) if isinstance(value, list) else value


@dataclass(frozen=True)
class _Choice:
    """What was chosen for one backbone, among which trials."""

    backbone: str
    point: Point
    trials: tuple[Mapping[str, Any], ...]
    metric: str

    @property
    def content(self) -> dict[str, Any]:
        """For the record of the run."""
        rule = {"metric": self.metric, "chosen_on": _RULE, "chosen": list(self.point)}
        return {**rule, "trials": [dict(trial) for trial in self.trials]}


class _Trials:
    """A run of the task for each backbone and point of the grid, on the training images alone."""

    def __init__(self, benchmark: Benchmark, points: list[Point]) -> None:
        spec = benchmark.runs[0].task
        if not (spec.options.get("reader") or spec.options.get("data") == "own"):
            raise UserError(f"task {spec.name} cannot be tuned", "tasks on labelled images and on data of yours can be")
        spec = replace(spec, options={**spec.options, "tuning": "yes"})
        out = benchmark.out / ".tuning"
        out.mkdir(parents=True, exist_ok=True)
        seen = look_at_data([spec], benchmark.roots, benchmark.task_folders, out, lambda line: None)
        for problem in seen.problems.get(spec.name, []):
            raise UserError(problem)
        self.metric = spec.metrics[0]
        seeds = benchmark.suite.seeds[:1]
        entries = tuple(replace(entry, seeds=None) for entry in benchmark.suite.backbones)
        suite = replace(benchmark.suite, seeds=seeds, backbones=entries, tables=())
        self.runs = {point: _planned(suite, spec, point, out, seen.fingerprints) for point in points}
        runs = [run for planned in self.runs.values() for run in planned]
        self.benchmark = replace(benchmark, suite=suite, runs=runs, out=out, unlisted={})

    def choice(self, backbone: str) -> _Choice:
        """The first of the points with the best result.

        Raises:
            UserError: not one trial has a result.
        """
        scores: dict[Point, float | None] = {}
        identities = {}
        for point, runs in self.runs.items():
            (status,) = states_of(run for run in runs if run.backbone == backbone)
            done = status.state is RunState.DONE
            scores[point] = read_record(status.run.folder).metrics[self.metric] if done else None
            identities[point] = status.run.identity
        known = {point: score for point, score in scores.items() if score is not None}
        if not known:
            raise UserError(f"no trial for {backbone} came to an end", f"see the logs in {self.benchmark.out}")
        best = max(known, key=known.__getitem__)
        trials = [
            {"values": list(point), self.metric: score, "identity": identities[point]}
            for point, score in scores.items()
        ]
        return _Choice(backbone, best, tuple(trials), self.metric)


def _only(benchmark: Benchmark, task: str) -> Benchmark:
    """The benchmark with the runs of one task."""
    if task not in benchmark.suite.tasks:
        known = ", ".join(benchmark.suite.tasks)
        raise UserError(f"suite {benchmark.suite.name} has no task {task!r} for its backbones", f"it has {known}")
    runs = [run for run in benchmark.runs if run.task.name == task]
    if any(run.needs for run in runs):
        raise UserError("a backbone of the suite is pretrained by it", "pretrain first, then name it by --backbone")
    suite = replace(benchmark.suite, tasks={task: benchmark.suite.tasks[task]})
    return replace(benchmark, suite=suite, runs=runs)


def _planned(suite: Suite, spec: TaskSpec, point: Point, out: Path, data: Mapping[str, str]) -> list[Run]:
    for change in point:
        suite = suite.override(spec.name, change)
    return make_plan(suite, {spec.name: spec}, out, data=data)


def _final_runs(benchmark: Benchmark, choice: _Choice) -> list[Run]:
    """The runs with the chosen values; that they were tuned, and how, is part of their identity."""
    suite, spec = benchmark.suite, benchmark.runs[0].task
    suite = replace(suite, backbones=tuple(entry for entry in suite.backbones if entry.name == choice.backbone))
    data = {run.task.name: run.data for run in benchmark.runs if run.data is not None}
    runs = []
    for run in _planned(suite, spec, choice.point, benchmark.out, data):
        identity = digest_of([run.identity, choice.content])
        folder = run.folder.with_name(f"{run.seed}-{identity}")
        runs.append(replace(run, identity=identity, folder=folder, tuning=choice.content))
    return runs
