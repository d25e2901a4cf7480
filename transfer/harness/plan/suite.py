"""Suites: which backbones, on which tasks, with which recipes and seeds, for which tables."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from crossmae.errors import UserError
from crossmae.parsing import Count, CountOrZero, Strict, parse, read_yaml
from transfer.task import check_name

BUILT_IN = Path(__file__).parents[2] / "suites"


@dataclass(frozen=True, kw_only=True)
class _BackboneValues(Strict):
    source: str | None = None
    pretrain: str | None = None
    arch: str | None = None
    """Stands for ``{arch}`` in recipe names."""
    tasks: tuple[str, ...] | None = None
    """Those of the suite's tasks that it is for; None: all."""
    also: Mapping[str, str] = field(default_factory=dict)
    """Tasks for this backbone alone, in addition to the suite's: task name to recipe name."""
    seeds: tuple[CountOrZero, ...] | None = None
    """Instead of the suite's."""
    overrides: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Task name to ``key=value`` changes of its recipe for this backbone alone, after the suite's."""


@dataclass(frozen=True)
class BackboneEntry(_BackboneValues):
    """A backbone of a suite: ``source`` for ``Backbone.load``, or ``pretrain``, a recipe that becomes a run."""

    name: str

    def __post_init__(self) -> None:
        check_name("backbone", self.name)


@dataclass(frozen=True)
class _SuiteFile(Strict):
    title: str
    backbones: dict[str, _BackboneValues] = field(default_factory=dict)
    tasks: dict[str, str] = field(default_factory=dict)
    own: dict[str, dict[str, str]] = field(default_factory=dict)
    data: Literal["real", "demo"] = "real"
    seeds: tuple[CountOrZero, ...] = (0,)
    tables: tuple[str, ...] = ()
    devices: dict[str, Count] = field(default_factory=dict)
    overrides: dict[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Suite:
    """One ``transfer/suites/NAME.yaml``."""

    name: str
    title: str
    backbones: tuple[BackboneEntry, ...]
    tasks: Mapping[str, str]
    """Task name to recipe name; ``{arch}`` and ``{pretrain}`` in it become the backbone's."""
    seeds: tuple[int, ...] = (0,)
    tables: tuple[str, ...] = ()
    demo_data: bool = False
    devices: Mapping[str, int] = field(default_factory=dict)
    """Task name to the number of devices of one of its runs; 1 for those that are not named."""
    own: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """For data that an option names: layout to the tasks, with their recipes, that are run on data of that layout."""
    overrides: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Task name to ``key=value`` changes of its recipe."""

    @property
    def all_tasks(self) -> set[str]:
        """Every task that some backbone of the suite may be run on, pretraining too."""
        return {"pretrain", *self.tasks, *(task for entry in self.backbones for task in entry.also)}

    def override(self, task: str, change: str) -> "Suite":
        """This suite with one more ``key=value`` for ``task``, after those that it has for single backbones.

        ``devices`` belongs to the suite, not to a recipe.
        """
        key, _, value = change.partition("=")
        if key == "devices":
            if not value.isdecimal() or not int(value):
                raise UserError(f"--set {task}.{change}: devices are counted", f"give one such as {task}.devices=2")
            return replace(self, devices={**self.devices, task: int(value)})
        entries = tuple(
            replace(entry, overrides=_added(entry.overrides, task, change)) if task in entry.overrides else entry
            for entry in self.backbones
        )
        return replace(self, backbones=entries, overrides=_added(self.overrides, task, change))


def _added(overrides: Mapping[str, tuple[str, ...]], task: str, change: str) -> dict[str, tuple[str, ...]]:
    return {**overrides, task: (*overrides.get(task, ()), change)}


def load_suite(name: str) -> Suite:
    """Reads a built-in suite by name, or a suite file by path.

    Raises:
        UserError: unknown suite, or a file that is none.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else BUILT_IN / f"{name}.yaml"
    if not path.is_file():
        names = ", ".join(sorted(p.stem for p in BUILT_IN.glob("*.yaml")))
        raise UserError(f"no suite {name!r}", f"known suites: {names}, or the path of a YAML file")
    content = parse(_SuiteFile, read_yaml(path), f"suite {path}")
    return Suite(
        name=check_name("suite", path.stem),
        title=content.title,
        backbones=tuple(BackboneEntry(name, **vars(values)) for name, values in content.backbones.items()),
        tasks=content.tasks,
        seeds=content.seeds,
        tables=content.tables,
        demo_data=content.data == "demo",
        devices=content.devices,
        own=content.own,
        overrides=content.overrides,
    )
