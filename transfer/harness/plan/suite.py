"""Suites: which backbones, on which tasks, with which recipes and seeds, for which tables."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from crossmae.errors import UserError

BUILT_IN = Path(__file__).parents[2] / "suites"
_KNOWN = {"title", "data", "backbones", "tasks", "seeds", "tables", "devices", "overrides"}


@dataclass(frozen=True)
class BackboneEntry:
    """A backbone of a suite: ``source`` for ``Backbone.load``, or ``pretrain``, a recipe that becomes a run."""

    name: str
    source: str | None = None
    pretrain: str | None = None
    arch: str | None = None
    """Stands for ``{arch}`` in recipe names."""
    tasks: tuple[str, ...] | None = None
    """Those of the suite's tasks that it is for; None: all."""
    also: Mapping[str, str] = field(default_factory=dict)
    """Tasks for this backbone alone, beside the suite's: task name to recipe name."""
    seeds: tuple[int, ...] | None = None
    """Instead of the suite's."""


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
    overrides: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Task name to ``key=value`` changes of its recipe."""

    @property
    def all_tasks(self) -> set[str]:
        """Every task that some backbone of the suite may be run on, pretraining too."""
        return {"pretrain", *self.tasks, *(task for entry in self.backbones for task in entry.also)}

    def override(self, task: str, change: str) -> "Suite":
        """This suite with one more ``key=value`` for ``task``; ``devices`` belongs to the suite, not to a recipe."""
        key, _, value = change.partition("=")
        if key == "devices" and value.isdigit():
            return replace(self, devices={**self.devices, task: int(value)})
        changes = (*self.overrides.get(task, ()), change)
        return replace(self, overrides={**self.overrides, task: changes})


def load_suite(name: str) -> Suite:
    """Reads a built-in suite by name, or a suite file by path.

    Raises:
        UserError: unknown suite, or a file that is none.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else BUILT_IN / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in BUILT_IN.glob("*.yaml")))
        raise UserError(f"no suite {name!r}; known suites: {known}, or the path of a YAML file")
    try:
        return _parse(path, yaml.safe_load(path.read_text()))
    except (yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path} is not a suite: {' '.join(str(error).split())}; see {BUILT_IN}") from error


def _parse(path: Path, content: dict[str, Any]) -> Suite:
    if unknown := set(content) - _KNOWN:
        raise UserError(f"{path} has unknown {', '.join(sorted(unknown))}; a suite has {', '.join(sorted(_KNOWN))}")
    if content.get("data", "real") not in ("real", "demo"):
        raise UserError(f"{path}: data is {content['data']!r}; give real or demo")
    return Suite(
        name=path.stem,
        title=content["title"],
        backbones=tuple(_entry(name, values) for name, values in content["backbones"].items()),
        tasks=dict(content["tasks"]),
        seeds=tuple(content.get("seeds", (0,))),
        tables=tuple(content.get("tables", ())),
        demo_data=content.get("data") == "demo",
        devices=dict(content.get("devices", {})),
        overrides={task: tuple(changes) for task, changes in content.get("overrides", {}).items()},
    )


def _entry(name: str, values: dict[str, Any]) -> BackboneEntry:
    lists = {key: tuple(value) for key, value in values.items() if isinstance(value, list)}
    return BackboneEntry(name, **{**values, **lists})
