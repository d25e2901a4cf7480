"""The plan: every run that a suite asks for, each once, with its identity and what it waits for."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crossmae.errors import UserError
from crossmae.recipe import Recipe, digest_of
from transfer.harness.lineage import lineage_of_pretraining, lineage_of_source
from transfer.harness.specs import recipe_of
from transfer.harness.suite import BackboneEntry, Suite
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
    """The pretraining run that makes the backbone."""
    demo_data: bool = False
    devices: int = 1
    """How many it is to use, where there are as many; no part of the identity."""

    @property
    def title(self) -> str:
        """How the run is called in lines and tables."""
        return f"{self.task.name} {self.backbone} seed {self.seed}"


def make_plan(suite: Suite, specs: Mapping[str, TaskSpec], out: Path) -> list[Run]:
    """All runs of ``suite``, pretraining first, each once.

    Raises:
        UserError: a task, recipe or file of weights that does not exist.
    """
    runs: dict[Path, Run] = {}
    for seed, entry in _seeded(suite):
        for run in _runs_of(suite, entry, seed, specs, out):
            runs.setdefault(run.folder, run)
    return sorted(runs.values(), key=lambda run: run.task.name != PRETRAIN)


def _seeded(suite: Suite) -> Iterator[tuple[int, BackboneEntry]]:
    if not suite.backbones:
        raise UserError(f"suite {suite.name} is for backbones of yours; name one: --backbone NAME:vit_b16=SOURCE")
    for seed in sorted({*suite.seeds, *(seed for entry in suite.backbones for seed in entry.seeds or ())}):
        for entry in suite.backbones:
            if seed in (suite.seeds if entry.seeds is None else entry.seeds):
                yield seed, entry


def _runs_of(suite: Suite, entry: BackboneEntry, seed: int, specs: Mapping[str, TaskSpec], out: Path) -> Sequence[Run]:
    pretraining = _pretraining(suite, entry, seed, specs, out)
    runs = [] if pretraining is None else [pretraining]
    source, lineage = _origin(entry, pretraining, out)
    for task in suite.tasks if entry.tasks is None else entry.tasks:
        spec = _spec(specs, task)
        recipe = recipe_of(spec, _named(_recipe_name(suite, task), entry), tuple(suite.overrides.get(task, ())))
        used = source if spec.consumes_backbone else None
        runs.append(_run(suite, spec, recipe, entry.name, seed, out, used, lineage, pretraining))
    return runs


def _pretraining(suite: Suite, entry: BackboneEntry, seed: int, specs: Mapping[str, TaskSpec], out: Path) -> Run | None:
    if entry.pretrain is None:
        return None
    spec = _spec(specs, PRETRAIN)
    recipe = recipe_of(spec, entry.pretrain, tuple(suite.overrides.get(PRETRAIN, ())))
    return _run(suite, spec, recipe, entry.name, seed, out, None, {}, None)


def _origin(entry: BackboneEntry, pretraining: Run | None, out: Path) -> tuple[str, dict[str, Any]]:
    if pretraining is not None:
        lineage = lineage_of_pretraining(pretraining.identity, pretraining.recipe.hash, pretraining.seed)
        return str(pretraining.folder / "checkpoint"), lineage
    if entry.source is None:
        raise UserError(f"backbone {entry.name!r} of the suite has neither source nor pretrain; give one")
    return entry.source, lineage_of_source(entry.source, out / "digests.json")


def _run(
    suite: Suite,
    spec: TaskSpec,
    recipe: Recipe,
    backbone: str,
    seed: int,
    out: Path,
    source: str | None,
    lineage: Mapping[str, Any],
    needs: Run | None,
) -> Run:
    identity = _identity(spec, recipe, lineage, seed, suite.demo_data)
    folder = out / spec.name / backbone / f"{seed}-{identity}"
    devices = suite.devices.get(spec.name, 1)
    return Run(spec, recipe, backbone, source, lineage, seed, identity, folder, needs, suite.demo_data, devices)


def _identity(spec: TaskSpec, recipe: Recipe, lineage: Mapping[str, Any], seed: int, demo_data: bool) -> str:
    return digest_of(
        {
            "task": spec.name,
            "version": spec.version,
            "protocol": recipe.protocol,
            "backbone": dict(lineage),
            "seed": seed,
            "demo_data": demo_data,
        }
    )


def _recipe_name(suite: Suite, task: str) -> str:
    if task not in suite.tasks:
        raise UserError(f"suite {suite.name} has no task {task!r} for its backbones; it has {', '.join(suite.tasks)}")
    return suite.tasks[task]


def _named(recipe: str, entry: BackboneEntry) -> str:
    if "{arch}" not in recipe:
        return recipe
    arch = entry.arch or (entry.source or "").removeprefix("random:")
    if not arch:
        raise UserError(f"backbone {entry.name!r} needs an arch in the suite: its tasks' recipes are named after it")
    return recipe.replace("{arch}", arch)


def _spec(specs: Mapping[str, TaskSpec], name: str) -> TaskSpec:
    if name not in specs:
        raise UserError(f"no task {name!r}; known tasks: {', '.join(sorted(specs))}")
    return specs[name]
