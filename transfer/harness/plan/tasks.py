"""Task files: ``transfer/tasks/*.yaml``, and a user's own by ``--tasks DIR``."""

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

from annotated_types import MinLen
from pydantic import Field

from crossmae.errors import UserError
from crossmae.parsing import Strict, parse, read_yaml
from crossmae.recipe import Recipe, load_recipe
from transfer.task import TaskSpec, check_name

BUILT_IN = Path(__file__).parents[2] / "tasks"


@dataclass(frozen=True)
class _TaskFile(Strict):
    version: int
    title: str
    adapter: Annotated[str, Field(pattern=r"^[^:]+:[^:]+$")]
    metrics: Annotated[tuple[str, ...], MinLen(1)]
    dataset: str | None = None
    recipes: str | None = None
    engine: tuple[str, ...] = ()
    optional_metrics: tuple[str, ...] = ()
    consumes_backbone: bool = True
    options: dict[str, str] = field(default_factory=dict)


def load_specs(folders: Iterable[Path] = ()) -> dict[str, TaskSpec]:
    """All tasks by name: the built-in ones, then those of ``folders``.

    Modules that lie in such a folder can be named as adapters; its ``recipes/`` holds the recipes of its tasks.

    Raises:
        UserError: a file that is no task, or a name that is taken; the line names the file.
    """
    specs: dict[str, TaskSpec] = {}
    for folder in (BUILT_IN, *folders):
        if not folder.is_dir():
            raise UserError(f"no folder {folder}", "--tasks wants a folder with one YAML file per task")
        for path in sorted(folder.glob("*.yaml")):
            if path.stem in specs:
                raise UserError(f"{path}: there is a task {path.stem!r} already", "give the file another name")
            specs[path.stem] = _read(path)
    return specs


def spec_of(specs: Mapping[str, TaskSpec], name: str) -> TaskSpec:
    """The task ``name``.

    Raises:
        UserError: there is none.
    """
    if name not in specs:
        raise UserError(f"no task {name!r}", f"known tasks: {', '.join(sorted(specs))}")
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
    # Only the top package is looked for: find_spec would import the parents of a package within one.
    top, *below = package.split(".")
    spec = find_spec(top)
    for location in (spec and spec.submodule_search_locations) or ():
        if (folder := Path(location, *below)).is_dir():
            return folder
    raise UserError(f"no package {package!r} for recipes", "is it installed?")


def _read(path: Path) -> TaskSpec:
    name = check_name("task", path.stem)
    content = parse(_TaskFile, read_yaml(path), f"task {path}")
    if content.dataset is not None:
        check_name("data set", content.dataset)
    recipes = content.recipes or str(path.resolve().parent / "recipes")
    return TaskSpec(name=name, **{**vars(content), "recipes": recipes})
