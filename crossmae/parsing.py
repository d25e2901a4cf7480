"""Values of recipes, suites, records and other files as dataclasses: every key known, every value of its type.

A dataclass that derives from ``Strict`` refuses unknown keys, texts in place of numbers, true and false in place of
whole numbers, and numbers that are not finite. Ranges stand with the fields, as ``Annotated`` types of this module.
"""

import json
import re
from collections.abc import Collection
from functools import cache
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from annotated_types import Ge, Gt, Le, MinLen
from pydantic import ConfigDict, TypeAdapter, ValidationError

from crossmae.errors import UserError, one_line
from crossmae.files import open_regular, read_regular

T = TypeVar("T")

Positive = Annotated[float, Gt(0)]
NotNegative = Annotated[float, Ge(0)]
Share = Annotated[float, Ge(0), Le(1)]
Count = Annotated[int, Ge(1)]
CountOrZero = Annotated[int, Ge(0)]
NotEmpty = Annotated[str, MinLen(1)]


class Strict:
    """Base of dataclasses whose values come from a file."""

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


def parse(kind: type[T], content: Any, where: str) -> T:
    """An instance of the dataclass ``kind``, nested ones included, from plain values; lists become tuples.

    Args:
        where: what the values are called in an error, such as the name of their file.

    Raises:
        UserError: unknown, missing and wrong values, all named in one line that begins with ``where``.
    """
    try:
        text = json.dumps(content)
    except (TypeError, ValueError, RecursionError) as error:
        raise UserError(f"{where} holds something else than plain values ({error})") from error
    return parse_json(kind, text, where)


def parse_json(kind: type[T], text: str | bytes, where: str) -> T:
    """As ``parse``, from JSON."""
    try:
        value: T = _adapter(kind).validate_json(text)  # type: ignore[arg-type]  # mypy does not see that types are hashable
        return value
    except ValidationError as error:
        raise UserError(f"{where}{_complaint(error)}") from error


def parse_file(kind: type[T], path: Path) -> T:
    """As ``parse``, from a JSON file.

    Raises:
        UserError: as ``parse``, or there is no such regular file.
    """
    try:
        content = read_regular(path)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})") from error
    return parse_json(kind, content, str(path))


def read_json(path: Path, remedy: str = "") -> Any:
    """The plain values of a JSON file, whoever wrote it.

    Raises:
        UserError: no regular file, no JSON, or nested too deeply; ``remedy`` says what to do.
    """
    try:
        return json.loads(read_regular(path))
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})", remedy) from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise UserError(f"{path} is not valid JSON ({one_line(error, 160)})", remedy) from error


_LOOKED_AT = 2**20
_JSON_TOKEN = re.compile(r'"((?:[^"\\]|\\.)*+)"?(\s*+:\s*+\[(?=\s*+[{\]]))?|[\[{]|[\]}]', re.DOTALL)
"""A text, perhaps with what says that it names a list of objects; or a bracket. An open text is passed once, too."""


def lists_objects(path: Path, names: Collection[str]) -> bool:
    """Whether a file begins as a JSON object with a list of objects, or an empty one, under one of ``names``.

    Its first megabyte is looked at, whether the rest is sound or not.
    """
    try:
        with open_regular(path) as file:
            text = file.read(_LOOKED_AT).decode("utf-8-sig", "replace")
    except OSError:
        return False
    depth = 0
    for token in _JSON_TOKEN.finditer(text if text.lstrip()[:1] == "{" else ""):
        if token[2] and depth == 1 and token[1] in names:
            return True
        if token[2] or token[0] in "[{":
            depth += 1
        elif token[0] in "]}":
            depth -= 1
    return False


def read_yaml(path: Path) -> Any:
    """The plain values of a YAML file; an empty file holds an empty mapping.

    Raises:
        UserError: no readable YAML; tags that stand for objects are refused.
    """
    try:
        content = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read ({one_line(error)})") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise UserError(f"{path} is not valid YAML: {one_line(error)}") from error
    return {} if content is None else content


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _complaint(error: ValidationError) -> str:
    """All that is wrong, to follow a name: `` has unknown x; lacks y; z is -1: should be greater than 0``."""
    unknown, missing, whole, values = [], [], [], []
    for problem in error.errors(include_url=False):
        name = ".".join(str(part) for part in problem["loc"])
        if problem["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
            unknown.append(name)
        elif problem["type"] in ("missing", "missing_argument"):
            missing.append(name)
        elif not name:
            is_json = problem["type"] != "json_invalid"
            whole.append(f"is {'no mapping' if is_json else 'not readable'} ({_reason(problem['msg'])})")
        else:
            values.append(_wrong(name, problem["input"], problem["msg"]))
    predicates = [f"has unknown {', '.join(unknown)}"] if unknown else []
    predicates += [f"lacks {', '.join(missing)}"] if missing else []
    predicates += whole
    return f" {'; '.join([*predicates, *values])}" if predicates else f": {'; '.join(values)}"


def _wrong(name: str, value: Any, message: str) -> str:
    shown = repr(value)
    shown = shown if len(shown) <= 40 else f"{shown[:37]}..."
    hint = " (YAML wants 1.0e-3 and not 1e-3)" if "number" in message and isinstance(value, str) else ""
    return f"{name} is {shown}: {_reason(message)}{hint}"


def _reason(message: str) -> str:
    return message.removeprefix("Input ")
