"""Dataclasses from untrusted JSON: every field present, known and of its declared type."""

from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints


def build(kind: type[Any], content: Any, name: str) -> Any:
    """An instance of the dataclass ``kind`` from a JSON mapping; nested dataclasses are built likewise.

    Raises:
        ValueError: one line that names the field (under ``name``) and what is wrong with it.
    """
    if not isinstance(content, dict):
        raise ValueError(f"{name} is not a mapping")
    hints, required = _schema(kind)  # type: ignore[arg-type]  # mypy does not see that types are hashable
    if unknown := set(content) - set(hints):
        raise ValueError(f"{name} has unknown {', '.join(sorted(map(str, unknown)))}")
    if missing := required - set(content):
        raise ValueError(f"{name} lacks {', '.join(sorted(missing))}")
    return kind(**{key: convert(hints[key], value, f"{name}.{key}") for key, value in content.items()})


def convert(hint: Any, value: Any, name: str) -> Any:
    """``value`` as type ``hint``; lists become tuples where a tuple is declared, nothing else is coerced."""
    if hint is Any:
        return value
    if is_dataclass(hint):
        return build(hint, value, name)  # type: ignore[arg-type]
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return _convert_union(arguments, value, name)
    if origin is tuple:
        return tuple(convert(arguments[0], item, name) for item in _expect(list, value, name))
    if origin is dict:
        mapping = _expect(dict, value, name)
        return {key: convert(arguments[1], item, f"{name}.{key}") for key, item in mapping.items()}
    return _expect(hint, value, name)


def _convert_union(hints: tuple[Any, ...], value: Any, name: str) -> Any:
    if value is None and NoneType in hints:
        return None
    (hint,) = (hint for hint in hints if hint is not NoneType)
    return convert(hint, value, name)


def _expect(kind: type, value: Any, name: str) -> Any:
    accepted = (int, float) if kind is float else kind
    # bool is an int in Python, but "seed": true is a mistake.
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
        raise ValueError(f"{name} is {_shown(value)}, not {_NAMES.get(kind, kind.__name__)}")
    return value


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


_NAMES: dict[type, str] = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    dict: "a mapping",
    list: "a list",
}


@cache
def _schema(kind: type[Any]) -> tuple[dict[str, Any], frozenset[str]]:
    return get_type_hints(kind), frozenset(f.name for f in fields(kind) if _is_required(f))


def _is_required(field: Field[Any]) -> bool:
    return field.default is MISSING and field.default_factory is MISSING
