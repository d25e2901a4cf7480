"""The plan: every run that a suite asks for, each once, with its identity and what it waits for."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from crossmae.errors import UserError
from crossmae.recipe import Recipe, digest_of
from results.runs import Planned
from transfer.harness.plan.known_data import Fingerprints, known_data
from transfer.harness.plan.lineage import digest_of_file, lineage_of_pretraining, lineage_of_source
from transfer.harness.plan.suite import BackboneEntry, Suite
from transfer.harness.plan.tasks import recipe_of, spec_of
from transfer.task import TaskSpec

PRETRAIN = "pretrain"


@dataclass(frozen=True)
class Run:
    """One cell of the benchmark: a task with a recipe, on a backbone, with a seed."""

    task: TaskSpec
    recipe: Recipe
    backbone: str
    source: str | None
    """For ``Backbone.load``; None where the task is given no backbone."""
    lineage: Mapping[str, Any]
    seed: int
    identity: str
    folder: Path
    needs: "Run | None" = None
    """The run that makes the backbone, or the finished model, that this one takes."""
    data: str | None = None
    """Fingerprint of the data; None where it was not seen, or where the task has none."""
    demo_data: bool = False
    devices: int = 1
    """How many it is to use, where there are as many; no part of the identity."""
    weights: Path | None = None
    """A finished model, which is evaluated and not trained."""
    arch: str | None = None
    """What the suite says that the backbone is."""
    tuning: Mapping[str, Any] | None = None
    """How values of the recipe were chosen, with all trials."""

    @property
    def title(self) -> str:
        """How the run is called in lines and tables."""
        return f"{self.task.name} {self.backbone} seed {self.seed}"

    @property
    def planned(self) -> Planned:
        """The run as the numbers' side knows it."""
        return Planned(self.task.name, self.backbone, self.seed, self.identity)


Note = Callable[[UserError], None]
"""Receives each error of a plan; either raises it or keeps it, to collect the others too."""


def at_once(error: UserError) -> None:
    """The Note that ends planning with the first thing that is wrong."""
    raise error


def make_plan(
    suite: Suite, specs: Mapping[str, TaskSpec], out: Path, note: Note = at_once, data: Fingerprints | None = None
) -> list[Run]:
    """All runs of ``suite``, pretraining first, each once.

    ``data`` says which data the runs are about; by default what was seen last for ``out``. With another ``note`` than
    ``at_once``, runs whose recipe or weights do not exist are there too, but cannot be started: they say which data is
    asked for.

    Raises:
        UserError: a task, recipe or file of weights that does not exist.
    """
    planner = _Planner(suite, specs, out, note, known_data(out, suite.demo_data) if data is None else data)
    runs: dict[Path, Run] = {}
    for seed, entry in _seeded(suite):
        for run in planner.runs(entry, seed):
            runs.setdefault(run.folder, run)
    return sorted(runs.values(), key=lambda run: run.task.name != PRETRAIN)


def evaluation_of(
    weights: Path, name: str, spec: TaskSpec, recipe: Recipe, out: Path, data: str | None, demo: bool = False
) -> Run:
    """The run that evaluates the model in the file ``weights``; its folder is ``out/TASK/NAME/0-HASH``."""
    lineage = {"finished_model": digest_of_file(weights, out / "digests.json")}
    return replace(_alone(name, spec, recipe, out, data, lineage, demo), weights=weights)


def probe_of(source: str, name: str, spec: TaskSpec, recipe: Recipe, out: Path, data: str | None) -> Run:
    """The run of a task on the backbone ``source`` alone; its folder is ``out/TASK/NAME/0-HASH``."""
    lineage = lineage_of_source(source, out / "digests.json")
    return replace(_alone(name, spec, recipe, out, data, lineage), source=source)


def _alone(
    name: str,
    spec: TaskSpec,
    recipe: Recipe,
    out: Path,
    data: str | None,
    lineage: Mapping[str, Any],
    demo: bool = False,
) -> Run:
    asked = {"task": spec.name, "version": spec.version, "protocol": recipe.protocol, "data": data, **lineage}
    identity = digest_of({**asked, "demo_data": True} if demo else asked)
    folder = out / spec.name / name / f"0-{identity}"
    return Run(spec, recipe, name, None, lineage, 0, identity, folder, data=data, demo_data=demo)


def _seeded(suite: Suite) -> Iterator[tuple[int, BackboneEntry]]:
    if not suite.backbones:
        raise UserError(f"suite {suite.name} is for backbones of yours", "name one: --backbone NAME:vit_b16=SOURCE")
    for seed in sorted({*suite.seeds, *(seed for entry in suite.backbones for seed in entry.seeds or ())}):
        for entry in suite.backbones:
            if seed in (suite.seeds if entry.seeds is None else entry.seeds):
                yield seed, entry


@dataclass(frozen=True)
class _Planner:
    """What all runs of a plan have in common."""

    suite: Suite
    specs: Mapping[str, TaskSpec]
    out: Path
    note: Note
    data: Fingerprints

    def runs(self, entry: BackboneEntry, seed: int) -> Iterator[Run]:
        """The runs of one backbone with one seed, its pretraining first."""
        pretraining = self._pretraining(entry, seed)
        if pretraining is not None:
            yield pretraining
        source, lineage = self._origin(entry, pretraining)
        recipes = {**self.suite.tasks, **entry.also}
        trained: dict[str, Run] = {}
        for task in self._in_order((*(self.suite.tasks if entry.tasks is None else entry.tasks), *entry.also)):
            try:
                spec = self._task(task, recipes)
            except UserError as error:
                self.note(error)
                continue
            recipe = self._recipe(spec, recipes[task], entry)
            if spec.evaluates is not None:
                yield self._evaluation(spec, recipe, entry, seed, trained.get(spec.evaluates.task), lineage)
            elif spec.consumes_backbone:
                trained[task] = self._run(spec, recipe, entry, seed, source, lineage, pretraining)
                yield trained[task]
            else:
                yield self._run(spec, recipe, entry, seed)

    def _in_order(self, tasks: tuple[str, ...]) -> list[str]:
        """Those last that evaluate what others leave."""
        return sorted(tasks, key=lambda task: task in self.specs and self.specs[task].evaluates is not None)

    def _evaluation(
        self,
        spec: TaskSpec,
        recipe: Recipe,
        entry: BackboneEntry,
        seed: int,
        trained: Run | None,
        lineage: Mapping[str, Any],
    ) -> Run:
        """Of the model that the run ``trained`` of this suite leaves; without one the source is a finished model."""
        assert spec.evaluates is not None
        if trained is not None:
            run = self._run(spec, recipe, entry, seed, None, {"finished_run": trained.identity}, trained)
            return replace(run, weights=trained.folder / spec.evaluates.model)
        if entry.source is None or not Path(entry.source).is_file():
            what = f"{spec.name} evaluates a finished model of {spec.evaluates.task}, and {entry.name} has none"
            self.note(UserError(what, f"name its file: --backbone {entry.name}=FILE, or add the task to the suite"))
        run = self._run(spec, recipe, entry, seed, None, {"finished_model": lineage.get("file")})
        return replace(run, weights=Path(entry.source or ""))

    def _pretraining(self, entry: BackboneEntry, seed: int) -> Run | None:
        if entry.pretrain is None:
            return None
        spec = spec_of(self.specs, PRETRAIN)
        return self._run(spec, self._recipe(spec, entry.pretrain, entry), entry, seed)

    def _origin(self, entry: BackboneEntry, pretraining: Run | None) -> tuple[str | None, dict[str, Any]]:
        if pretraining is not None:
            lineage = lineage_of_pretraining(
                pretraining.identity, pretraining.recipe.hash, pretraining.seed, pretraining.data
            )
            return str(pretraining.folder / "checkpoint"), lineage
        try:
            if entry.source is None:
                raise UserError(f"backbone {entry.name!r} of the suite has neither source nor pretrain", "give one")
            return entry.source, lineage_of_source(entry.source, self.out / "digests.json")
        except UserError as error:
            self.note(error)
            return None, {}

    def _task(self, task: str, recipes: Mapping[str, str]) -> TaskSpec:
        if task not in recipes:
            what = f"suite {self.suite.name} has no task {task!r} for its backbones"
            raise UserError(what, f"it has {', '.join(recipes)}")
        return spec_of(self.specs, task)

    def _recipe(self, spec: TaskSpec, name: str, entry: BackboneEntry) -> Recipe:
        try:
            changes = (*self.suite.overrides.get(spec.name, ()), *entry.overrides.get(spec.name, ()))
            return recipe_of(spec, _named(name, entry), changes)
        except UserError as error:
            self.note(error)
            return unread_recipe(name)

    def _run(
        self,
        spec: TaskSpec,
        recipe: Recipe,
        entry: BackboneEntry,
        seed: int,
        source: str | None = None,
        lineage: Mapping[str, Any] | None = None,
        needs: Run | None = None,
    ) -> Run:
        fingerprint = self.data.get(spec.name)
        identity = digest_of(
            {
                "task": spec.name,
                "version": spec.version,
                "protocol": recipe.protocol,
                "backbone": {"name": entry.name, **(lineage or {})},
                "seed": seed,
                "data": fingerprint,
                "demo_data": self.suite.demo_data,
            }
        )
        return Run(
            task=spec,
            recipe=recipe,
            backbone=entry.name,
            source=source,
            lineage=lineage or {},
            seed=seed,
            identity=identity,
            folder=self.out / spec.name / entry.name / f"{seed}-{identity}",
            needs=needs,
            data=fingerprint,
            demo_data=self.suite.demo_data,
            devices=self.suite.devices.get(spec.name, 1),
            arch=entry.arch,
        )


def unread_recipe(name: str) -> Recipe:
    """Stands in a plan for a recipe that does not exist or cannot be read."""
    return Recipe(name, "", (), {}, {})


def _named(recipe: str, entry: BackboneEntry) -> str:
    if "{pretrain}" in recipe:
        if entry.pretrain is None:
            raise UserError(f"the suite does not pretrain backbone {entry.name!r}: there is no recipe for {recipe!r}")
        return recipe.replace("{pretrain}", entry.pretrain)
    if "{arch}" not in recipe:
        return recipe
    arch = entry.arch or (entry.source or "").removeprefix("random:")
    if not arch:
        raise UserError(f"backbone {entry.name!r} needs an arch in the suite: its tasks' recipes are named after it")
    return recipe.replace("{arch}", arch)
