"""Recipes: YAML files of a few lines over a base, split into what decides the numbers and what does not.

base: paper_crossmae          # another recipe of the same folder, merged under this one
source: "CrossMAE Table 10"   # where the values come from
deviations: ["..."]           # from the paper's protocol, in plain words; bases' deviations add up
protocol: {...}               # decides the numbers: part of a run's identity
execution: {...}              # devices, per-device batch, workers, ...: recorded, not part of the identity
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import dacite
import yaml
from omegaconf import DictConfig, OmegaConf

from crossmae.errors import UserError

T = TypeVar("T")

_FIELDS = {"base", "source", "deviations", "protocol", "execution"}


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


def digest_of(values: Any) -> str:
    """Ten hex digits of the canonical JSON of ``values``."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:10]


def load_recipe(folder: Path, name: str, overrides: Sequence[str] = ()) -> Recipe:
    """Reads ``folder/name.yaml`` (or the YAML file ``name``) over its bases and applies ``key=value`` overrides.

    A key is looked up in ``protocol`` and then in ``execution``; ``model.depth=6`` reaches inside. A protocol value
    that an override changes is added to the deviations.

    Raises:
        UserError: unknown recipe, unknown section or unknown override key, named in one line.
    """
    recipe = _read(folder, name)
    for override in overrides:
        recipe = _override(recipe, override)
    return recipe


def values_of(kind: type[T], values: Mapping[str, Any], where: str) -> T:
    """An instance of the dataclass ``kind``, nested ones included, from a recipe's plain values; lists become tuples.

    Raises:
        UserError: an unknown, missing or mistyped value, named in one line that begins with ``where``.
    """
    try:
        return dacite.from_dict(kind, dict(values), dacite.Config(strict=True, cast=[tuple]))
    except dacite.UnexpectedDataError as error:
        raise UserError(f"{where} has unknown {', '.join(sorted(error.keys))}") from error
    except dacite.MissingValueError as error:
        raise UserError(f"{where} lacks {error.field_path}") from error
    except dacite.WrongTypeError as error:
        hint = "; YAML wants 1.0e-3 and not 1e-3" if isinstance(error.value, str) else ""
        kinds = getattr(error.field_type, "__name__", str(error.field_type))
        raise UserError(f"{where}: {error.field_path} is {error.value!r}, not {kinds}{hint}") from error
    except TypeError as error:  # One value where several are wanted.
        raise UserError(f"{where}: {error}") from error


def _read(folder: Path, name: str) -> Recipe:
    path = Path(name) if name.endswith((".yaml", ".yml")) else folder / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in folder.glob("*.yaml")))
        raise UserError(f"no recipe {name!r}; known recipes: {known}")
    try:
        content = yaml.safe_load(path.read_text()) or {}
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    if unknown := set(content) - _FIELDS:
        raise UserError(f"{path}: unknown {', '.join(sorted(unknown))}; a recipe has {', '.join(sorted(_FIELDS))}")
    base = _read(path.parent, content["base"]) if "base" in content else Recipe("", "", (), {}, {})
    return Recipe(
        name=path.stem,
        source=content.get("source", base.source),
        deviations=base.deviations + tuple(content.get("deviations", ())),
        protocol=_merge(base.protocol, content.get("protocol", {})),
        execution=_merge(base.execution, content.get("execution", {})),
    )


def _merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Mappings merge at any depth; everything else, lists too, is replaced."""
    return {**base, **{key: _merged(base.get(key), value) for key, value in over.items()}}


def _merged(base: Any, over: Any) -> Any:
    return _merge(base, over) if isinstance(base, dict) and isinstance(over, dict) else over


def _override(recipe: Recipe, override: str) -> Recipe:
    key, equals, text = override.partition("=")
    if not equals:
        raise UserError(f"override {override!r} is not of the form key=value")
    for section in ("protocol", "execution"):
        config = OmegaConf.create(getattr(recipe, section))
        if not _has(config, key):
            continue
        before = OmegaConf.select(config, key)
        value = yaml.safe_load(text)
        OmegaConf.update(config, key, value)
        plain: Any = OmegaConf.to_container(config)
        changed = replace(recipe, **{section: plain})
        if section == "protocol" and before != value:
            changed = replace(changed, deviations=(*recipe.deviations, f"{key}={value} (recipe: {before})"))
        return changed
    known = ", ".join([*recipe.protocol, *recipe.execution])
    raise UserError(f"recipe {recipe.name} has no value {key!r}; it has {known}")


def _has(config: DictConfig, key: str) -> bool:
    parent, _, leaf = key.rpartition(".")
    node = OmegaConf.select(config, parent) if parent else config
    return isinstance(node, DictConfig) and leaf in node
