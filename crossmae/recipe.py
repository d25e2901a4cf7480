"""Recipes: YAML files of a few lines over a base, split into what decides the numbers and what does not.

base: paper_crossmae          # another recipe of the same folder, merged under this one
source: "CrossMAE Table 10"   # where the values come from
deviations: ["..."]           # from the paper's protocol, in plain words; bases' deviations add up
protocol: {...}               # decides the numbers: part of a run's identity
execution: {...}              # devices, per-device batch, workers, ...: recorded, not part of the identity
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from pathlib import Path
from typing import Any, Generic, TypeVar

import yaml

from crossmae.errors import UserError, one_line
from crossmae.parsing import Strict, parse, read_yaml

P = TypeVar("P")
E = TypeVar("E")


@dataclass(frozen=True)
class Recipe:
    """A resolved recipe. ``protocol`` and ``execution`` are plain nested dictionaries."""

    name: str
    source: str
    deviations: tuple[str, ...]
    protocol: dict[str, Any]
    execution: dict[str, Any]

    @property
    def hash(self) -> str:
        """Ten hex digits of the protocol values: the recipe's share of a run's identity."""
        return digest_of(self.protocol)


@dataclass(frozen=True)
class TypedRecipe(Generic[P, E]):
    """Both sections of a recipe, every value in its type."""

    protocol: P
    execution: E


def read_sections(recipe: Recipe, protocol: type[P], execution: type[E]) -> TypedRecipe[P, E]:
    """Reads the sections of ``recipe`` as the dataclasses ``protocol`` and ``execution``.

    Raises:
        UserError: an unknown, missing or wrong value, named in one line.
    """
    return TypedRecipe(
        parse(protocol, recipe.protocol, f"the protocol of recipe {recipe.name}"),
        parse(execution, recipe.execution, f"the execution of recipe {recipe.name}"),
    )


@dataclass(frozen=True)
class _RecipeFile(Strict):
    base: str | None = None
    source: str | None = None
    deviations: tuple[str, ...] = ()
    protocol: dict[str, Any] = field(default_factory=dict)
    execution: dict[str, Any] = field(default_factory=dict)


_NOTHING = Recipe("", "", (), {}, {})


def digest_of(values: Any) -> str:
    """Ten hex digits of the canonical JSON of ``values``."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:10]


def load_recipe(folder: Path, name: str, overrides: Sequence[str] = ()) -> Recipe:
    """Reads ``folder/name.yaml`` (or the YAML file ``name``) over its bases and applies ``key=value`` overrides.

    A key is looked up in ``protocol`` and then in ``execution``; ``model.depth=6`` reaches inside. A protocol value
    that ends up different from the recipe's own, a list or a mapping too, is added to the deviations.

    Raises:
        UserError: unknown recipe, unknown section or unknown override key, named in one line.
    """
    recipe = changed = _read(folder, name)
    keys: dict[str, None] = {}
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals:
            raise UserError(f"override {override!r} is not of the form key=value")
        changed, keys[key] = _override(changed, key, _value(override, text)), None
    return replace(changed, deviations=(*recipe.deviations, *_changes(recipe.protocol, changed.protocol, keys)))


def _read(folder: Path, name: str, under: tuple[Path, ...] = ()) -> Recipe:
    path = Path(name) if name.endswith((".yaml", ".yml")) else folder / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in folder.glob("*.yaml")))
        raise UserError(f"no recipe {name!r}", f"known recipes: {known}")
    if path.resolve() in under:
        raise UserError(f"{path}: its bases lead back to itself", "name another base, or none")
    content = parse(_RecipeFile, read_yaml(path), f"recipe {path}")
    base = _read(path.parent, content.base, (*under, path.resolve())) if content.base else _NOTHING
    return Recipe(
        name=path.stem,
        source=base.source if content.source is None else content.source,
        deviations=base.deviations + content.deviations,
        protocol=_merge(base.protocol, content.protocol),
        execution=_merge(base.execution, content.execution),
    )


def _merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Mappings merge at any depth; everything else, lists too, is replaced."""
    return {**base, **{key: _merged(base.get(key), value) for key, value in over.items()}}


def _merged(base: Any, over: Any) -> Any:
    return _merge(base, over) if isinstance(base, dict) and isinstance(over, dict) else over


def _override(recipe: Recipe, key: str, value: Any) -> Recipe:
    for section in ("protocol", "execution"):
        values = getattr(recipe, section)
        if not _has(values, key):
            continue
        if _same(_select(values, key), value):
            return recipe  # 800.0 for 800 is no other recipe, and has no other identity.
        new: dict[str, Any] = {section: _with(values, key.split("."), value)}
        return replace(recipe, **new)
    known = ", ".join([*recipe.protocol, *recipe.execution])
    raise UserError(f"recipe {recipe.name} has no value {key!r}", f"it has {known}")


def _changes(own: Mapping[str, Any], final: Mapping[str, Any], keys: Iterable[str]) -> Iterator[str]:
    """A deviation for each overridden key whose value is not the recipe's own in the end."""
    for key in keys:
        if not _has(final, key):
            continue
        before, after = (_select(values, key) if _has(values, key) else None for values in (own, final))
        if not _same(before, after):
            yield f"{key}={after} (recipe: {before})"


def _same(before: Any, value: Any) -> bool:
    return bool(before == value) and isinstance(before, bool) == isinstance(value, bool)


def _value(override: str, text: str) -> Any:
    try:
        value = yaml.safe_load(text)
        json.dumps(value, allow_nan=False)
        return value
    except (yaml.YAMLError, RecursionError, ValueError, TypeError) as error:  # also dates and sets, which YAML has
        raise UserError(f"override {override!r}: {text!r} is not a value ({one_line(error)})") from error


def _select(values: Mapping[str, Any], key: str) -> Any:
    return reduce(lambda node, name: node[name], key.split("."), values)


def _has(values: Mapping[str, Any], key: str) -> bool:
    node: Any = values
    for name in key.split("."):
        if not isinstance(node, dict) or name not in node:
            return False
        node = node[name]
    return True


def _with(values: Mapping[str, Any], names: Sequence[str], value: Any) -> dict[str, Any]:
    """A copy of ``values`` with another value at the path ``names``."""
    name, *rest = names
    return {**values, name: _with(values[name], rest, value) if rest else value}
