"""``transfer tune``: values chosen on a held-out part of the training data, then one run with them."""

import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer
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
from transfer.commands.search import Point, Search, grid_points, read_grid, read_range, require_budget
from transfer.harness.benchmark import EXIT_INTERRUPTED, Benchmark
from transfer.harness.folder.state import RunState, states_of
from transfer.harness.launch.choose import choose_launcher
from transfer.harness.plan.options import BenchmarkOptions
from transfer.harness.plan.plan import Run, make_plan
from transfer.harness.plan.suite import Suite
from transfer.harness.preflight.data import look_at_data
from transfer.task import TaskSpec

_RULE = "a fifth of the training images of each class, those whose names have the smallest SHA-256"


def tune(
    task: Annotated[str, typer.Argument(help="Name of a task of the suite.")],
    suite: SuiteOption,
    out: OutOption,
    grid: Annotated[
        list[str] | None, typer.Option(help="KEY=VALUE,VALUE,... of the recipe; repeat it for several keys.")
    ] = None,
    ranges: Annotated[
        list[str] | None, typer.Option("--range", help="KEY=LOW:HIGH or KEY=LOW:HIGH:log, for --search tpe.")
    ] = None,
    search: Annotated[
        str, typer.Option(help="grid: all values, or --budget of them. tpe: Optuna asks for them.")
    ] = "grid",
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
    asked = _Asked(search, tuple(grid or ()), tuple(ranges or ()), budget)
    options = BenchmarkOptions.of(suite, out, seed, backbone, data, change, folders)
    starts = choose_launcher(launcher, devices, profile, hang_minutes=30)
    command = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
    benchmark = _only(Benchmark.of(options, starts, command, console), task)
    choices = _choose(_Trials(benchmark), asked)
    for choice in choices:
        text = f"{choice.backbone}: {', '.join(choice.point)} of {len(choice.trials)} trials"
        console.print(printable(text), markup=False, highlight=False, soft_wrap=True)
    runs = [run for choice in choices for run in _final_runs(benchmark, choice)]
    raise typer.Exit(replace(benchmark, runs=runs).run())


@dataclass(frozen=True)
class _Asked:
    """How values are searched for; UserError where that is not possible."""

    search: str
    grid: tuple[str, ...]
    ranges: tuple[str, ...]
    budget: int | None

    def __post_init__(self) -> None:
        if self.search not in ("grid", "tpe"):
            raise UserError(f"--search {self.search} is neither grid nor tpe")
        if not self.grid and (self.search == "grid" or not self.ranges):
            raise UserError(
                "nothing to choose from", "give --grid KEY=VALUE,VALUE, or --search tpe --range KEY=LOW:HIGH"
            )
        if self.search == "grid":
            self.points()
            if self.ranges:
                raise UserError("a grid has no --range", "give --grid KEY=VALUE,VALUE, or --search tpe")
        elif self.budget is None:
            raise UserError("--search tpe comes to no end by itself", "give --budget NUMBER")
        else:
            require_budget(self.budget)
            self.sampler()

    def points(self) -> list[Point]:
        """Those of the grid."""
        return grid_points(self.grid, self.budget)

    def sampler(self) -> Search:
        """A new search."""
        return Search(read_grid(self.grid), [read_range(text) for text in self.ranges])


@dataclass(frozen=True)
class _Choice:
    """What was chosen for one backbone, among which trials; ``search`` says how they were found, if by no grid."""

    backbone: str
    point: Point
    trials: tuple[Mapping[str, Any], ...]
    metric: str
    search: str | None

    @property
    def content(self) -> dict[str, Any]:
        """For the record of the run."""
        rule = {"metric": self.metric, "chosen_on": _RULE, "chosen": list(self.point)}
        found = {} if self.search is None else {"search": self.search}
        return {**rule, **found, "trials": [dict(trial) for trial in self.trials]}


class _Trials:
    """Runs of the task for a backbone and a point, on the training images alone."""

    def __init__(self, benchmark: Benchmark) -> None:
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
        self.spec, self.data = spec, seen.fingerprints
        self.benchmark = replace(benchmark, suite=suite, runs=[], out=out, unlisted={})
        self.backbones = tuple(dict.fromkeys(run.backbone for run in benchmark.runs))
        self._runs: dict[tuple[str, Point], Run] = {}

    def run(self, points: Mapping[str, Sequence[Point]]) -> None:
        """Runs what is not done of the points of each backbone.

        Raises:
            typer.Exit: a signal came.
        """
        runs = [self._run(name, point) for name, of_backbone in points.items() for point in of_backbone]
        if all(status.state is RunState.DONE for status in states_of(runs)):
            return
        if replace(self.benchmark, runs=runs).run() == EXIT_INTERRUPTED:
            raise typer.Exit(EXIT_INTERRUPTED)

    def _run(self, backbone: str, point: Point) -> Run:
        if (backbone, point) not in self._runs:
            suite, out = self.benchmark.suite, self.benchmark.out
            for run in _planned(suite, self.spec, point, out, self.data):
                self._runs[run.backbone, point] = run
        return self._runs[backbone, point]

    def score(self, backbone: str, point: Point) -> float | None:
        """The result of a trial; None if it failed."""
        (status,) = states_of([self._run(backbone, point)])
        return read_record(status.run.folder).metrics[self.metric] if status.state is RunState.DONE else None

    def choice(self, backbone: str, points: Sequence[Point], search: str | None = None) -> _Choice:
        """The first of the points with the best result.

        Raises:
            UserError: not one trial has a result.
        """
        scores = {point: self.score(backbone, point) for point in points}
        known = {point: score for point, score in scores.items() if score is not None}
        if not known:
            raise UserError(f"no trial for {backbone} came to an end", f"see the logs in {self.benchmark.out}")
        best = max(known, key=known.__getitem__)
        trials = [
            {"values": list(point), self.metric: score, "identity": self._run(backbone, point).identity}
            for point, score in scores.items()
        ]
        return _Choice(backbone, best, tuple(trials), self.metric, search)


def _choose(trials: _Trials, asked: _Asked) -> list[_Choice]:
    if asked.search == "grid":
        points = asked.points()
        trials.run(dict.fromkeys(trials.backbones, points))
        return [trials.choice(name, points) for name in trials.backbones]
    searches = {name: asked.sampler() for name in trials.backbones}
    rounds = [*_rounds(trials, searches, asked.budget or 0)]
    return [trials.choice(name, [points[name] for points in rounds], search.rule) for name, search in searches.items()]


def _rounds(trials: _Trials, searches: Mapping[str, Search], budget: int) -> Iterator[dict[str, Point]]:
    """One trial of each backbone after the other; those that are done already are told to the search, not repeated."""
    for _ in range(budget):
        points = {name: search.ask() for name, search in searches.items()}
        trials.run({name: [point] for name, point in points.items()})
        for name, point in points.items():
            searches[name].tell(trials.score(name, point))
        yield points


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
