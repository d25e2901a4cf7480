"""Dataclasses from untrusted JSON: every field present, known and of its declared type."""

from collections.abc import Callable
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache, partial
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

Reader = Callable[[Any, str], Any]
"""Takes a JSON value and what it is called; returns it as the declared type or raises ValueError in one line."""


def build(kind: type[Any], content: Any, name: str) -> Any:
    """An instance of the dataclass ``kind`` from a JSON mapping; nested dataclasses are built likewise.

    Lists become tuples where a tuple is declared; nothing else is coerced.

    Raises:
        ValueError: one line that names the field (under ``name``) and what is wrong with it.
    """
    return _reader(kind)(content, name)  # type: ignore[arg-type]  # mypy does not see that types are hashable


# Thousands of records are read at once, so the types are looked at once and not for every value.
@cache
def _reader(hint: Any) -> Reader:
    if hint is Any:
        return lambda value, _: value
    if is_dataclass(hint):
        readers = {name: _reader(of) for name, of in get_type_hints(hint).items()}
        required = frozenset(field.name for field in fields(hint) if _is_required(field))
        return partial(_build, hint, readers, required)
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        (inner,) = (argument for argument in arguments if argument is not NoneType)
        return partial(_optional, _reader(inner))
    if origin is tuple:
        return partial(_tuple, _reader(arguments[0]))
    if origin is dict:
        return partial(_mapping, None if arguments[1] is Any else _reader(arguments[1]))
    return partial(_plain, hint, (int, float) if hint is float else hint)


def _build(kind: Any, readers: dict[str, Reader], required: frozenset[str], content: Any, name: str) -> Any:
    if not isinstance(content, dict):
        raise ValueError(f"{name} is not a mapping")
    if unknown := content.keys() - readers.keys():
        raise ValueError(f"{name} has unknown {', '.join(sorted(map(str, unknown)))}")
    if missing := required - content.keys():
        raise ValueError(f"{name} lacks {', '.join(sorted(missing))}")
    return kind(**{key: readers[key](value, f"{name}.{key}") for key, value in content.items()})


def _optional(inner: Reader, value: Any, name: str) -> Any:
    return None if value is None else inner(value, name)


def _tuple(inner: Reader, value: Any, name: str) -> tuple[Any, ...]:
    return tuple(inner(item, name) for item in _plain(list, list, value, name))


def _mapping(inner: Reader | None, value: Any, name: str) -> dict[str, Any]:
    mapping: dict[str, Any] = _plain(dict, dict, value, name)
    return mapping if inner is None else {key: inner(item, f"{name}.{key}") for key, item in mapping.items()}


def _plain(kind: type, accepted: Any, value: Any, name: str) -> Any:
    # bool is an int in Python, but "seed": true is a mistake.
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
        raise ValueError(f"{name} holds {_shown(value)}, not {_NAMES.get(kind, kind.__name__)}")
    return value


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _is_required(field: Field[Any]) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


_NAMES: dict[type, str] = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    dict: "a mapping",
    list: "a list",
}
