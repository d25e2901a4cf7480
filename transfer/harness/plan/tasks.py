"""Task files: ``transfer/tasks/*.yaml``, and a user's own by ``--tasks DIR``, which may extend a built-in one."""

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import MinLen
from pydantic import Field

from crossmae.errors import UserError
from crossmae.parsing import NotEmpty, Strict, parse, read_yaml
from crossmae.recipe import Recipe, load_recipe
from transfer.task import FinishedModel, TaskSpec, check_name

BUILT_IN = Path(__file__).parents[2] / "tasks"
OWN_DATA = ("imagefolder", "multilabel", "coco_format", "masks")
"""Data sets of the built-in tasks that take any data of a layout."""


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
    evaluates: FinishedModel | None = None
    options: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _ExtendingFile(Strict):
    """A built-in task on other data. ``train`` and ``val`` are paths below the data, of which kind says the task."""

    extends: str
    title: str
    dataset: str
    train: NotEmpty | None = None
    val: NotEmpty | None = None
    classes: NotEmpty | Annotated[tuple[NotEmpty, ...], MinLen(2)] | None = None
    """Names in the order of the labels, or a file below the data with one on each line."""
    background: Literal["keep", "ignore"] | None = None
    options: dict[str, str] = field(default_factory=dict)

    def all_options(self) -> dict[str, str]:
        """All that the task's class is told, as text."""
        classes = "\n".join(self.classes) if isinstance(self.classes, tuple) else self.classes
        given = {"train": self.train, "val": self.val, "classes": classes, "background": self.background}
        return {**{name: value for name, value in given.items() if value is not None}, **self.options}


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
        files = {path: read_yaml(path) for path in sorted(folder.glob("*.yaml"))}
        for path, values in sorted(files.items(), key=lambda file: _extends(file[1])):
            if path.stem in specs:
                raise UserError(f"{path}: there is a task {path.stem!r} already", "give the file another name")
            specs[path.stem] = _read(path, values, specs)
    return specs


def extended(base: TaskSpec, name: str, title: str, dataset: str, options: Mapping[str, str]) -> TaskSpec:
    """The task ``base`` on the data set ``dataset``, under another name."""
    check_name("data set", dataset)
    return replace(
        base,
        name=check_name("task", name),
        title=title,
        dataset=dataset,
        options={**base.options, **options},
        extends=base.name,
    )


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

    A task that extends another one has that one's recipes; one that evaluates finished models has those that they
    were made by.

    Raises:
        UserError: unknown recipe or override.
    """
    folder = _recipe_folder(spec)
    made_by = spec.extends or (spec.evaluates.task if spec.evaluates else spec.name)
    own = f"{made_by}_{name}"
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


def _extends(values: Any) -> bool:
    return isinstance(values, dict) and "extends" in values


def _read(path: Path, values: Any, known: Mapping[str, TaskSpec]) -> TaskSpec:
    name = check_name("task", path.stem)
    if _extends(values):
        return _extending(path, parse(_ExtendingFile, values, f"task {path}"), known)
    content = parse(_TaskFile, values, f"task {path}")
    if content.dataset is not None:
        check_name("data set", content.dataset)
    recipes = content.recipes or str(path.resolve().parent / "recipes")
    return TaskSpec(name=name, **{**vars(content), "recipes": recipes})


def _extending(path: Path, content: _ExtendingFile, known: Mapping[str, TaskSpec]) -> TaskSpec:
    base = known.get(content.extends)
    if base is None or base.extends is not None or not (BUILT_IN / f"{base.name}.yaml").is_file():
        names = ", ".join(name for name in known if known[name].dataset in OWN_DATA)
        raise UserError(f"task {path} extends {content.extends!r}, which is no built-in task", f"there are {names}")
    return extended(base, path.stem, content.title, content.dataset, content.all_options())
