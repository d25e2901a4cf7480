"""Task files: ``transfer/tasks/*.yaml``, and a user's own by ``--tasks DIR``."""

import sys
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from crossmae.errors import UserError
from crossmae.recipe import Recipe, load_recipe
from transfer.task import TaskSpec

BUILT_IN = Path(__file__).parents[2] / "tasks"
_REQUIRED = {"version", "title", "adapter", "metrics"}
_KNOWN = _REQUIRED | {"dataset", "recipes", "engine", "length", "consumes_backbone", "options"}


def load_specs(folders: Iterable[Path] = ()) -> dict[str, TaskSpec]:
    """All tasks by name: the built-in ones, then those of ``folders``.

    Modules that lie in such a folder can be named as adapters; its ``recipes/`` holds the recipes of its tasks.

    Raises:
        UserError: a file that is no task, or a name that is taken; the line names the file.
    """
    specs: dict[str, TaskSpec] = {}
    for folder in (BUILT_IN, *folders):
        if not folder.is_dir():
            raise UserError(f"no folder {folder}; --tasks wants a folder with one YAML file per task")
        for path in sorted(folder.glob("*.yaml")):
            if path.stem in specs:
                raise UserError(f"{path}: there is a task {path.stem!r} already; give the file another name")
            specs[path.stem] = _read(path)
    return specs


def spec_of(specs: Mapping[str, TaskSpec], name: str) -> TaskSpec:
    """The task ``name``.

    Raises:
        UserError: there is none.
    """
    if name not in specs:
        raise UserError(f"no task {name!r}; known tasks: {', '.join(sorted(specs))}")
    return specs[name]


def make_importable(folders: Iterable[Path]) -> None:
    """Lets this process import the adapters that lie in users' task folders."""
    for folder in folders:
        if str(folder.resolve()) not in sys.path:
            sys.path.append(str(folder.resolve()))


def recipe_of(spec: TaskSpec, name: str, overrides: tuple[str, ...] = ()) -> Recipe:
    """The task's recipe ``name``: ``<task>_<name>.yaml``, or ``<name>.yaml`` where tasks share it.

    Raises:
        UserError: unknown recipe or override.
    """
    folder = _recipe_folder(spec)
    own = f"{spec.name}_{name}"
    return _cached(folder, own if (folder / f"{own}.yaml").is_file() else name, overrides)


@cache
def _cached(folder: Path, name: str, overrides: tuple[str, ...]) -> Recipe:
    return load_recipe(folder, name, overrides)


def _recipe_folder(spec: TaskSpec) -> Path:
    if Path(spec.recipes).is_absolute():
        return Path(spec.recipes)
    return _package_folder(spec.recipes) / "recipes"


@cache
def _package_folder(package: str) -> Path:
    # find_spec imports parents only: a detection package is found without loading detectron2.
    found = find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise UserError(f"no package {package!r} for recipes; is it installed?")
    return Path(found.submodule_search_locations[0])


def _read(path: Path) -> TaskSpec:
    try:
        content = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} is not a task; a task has {', '.join(sorted(_REQUIRED))}")
    _require(path, content)
    return TaskSpec(
        name=path.stem,
        version=int(content["version"]),
        title=str(content["title"]),
        adapter=str(content["adapter"]),
        dataset=content.get("dataset"),
        metrics=tuple(content["metrics"]),
        recipes=content.get("recipes", str(path.resolve().parent / "recipes")),
        engine=tuple(content.get("engine", ())),
        length=tuple(content.get("length", ())),
        consumes_backbone=bool(content.get("consumes_backbone", True)),
        options=content.get("options", {}),
    )


def _require(path: Path, content: dict[str, Any]) -> None:
    if missing := _REQUIRED - set(content):
        raise UserError(f"{path} lacks {', '.join(sorted(missing))}")
    if unknown := set(content) - _KNOWN:
        raise UserError(f"{path} has unknown {', '.join(sorted(unknown))}; a task has {', '.join(sorted(_KNOWN))}")
    if ":" not in str(content["adapter"]):
        raise UserError(f"{path}: adapter {content['adapter']!r} is not of the form package.module:Class")
