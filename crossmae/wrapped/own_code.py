"""Models that a function of the user's own makes: code that the user names, and that no file may have run."""

import hashlib
import importlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crossmae.errors import UserError, one_line

PREFIX = "python:"
"""Begins the name of such a model: ``python:package.module:function``."""

_asked_for: set[str] = set()


def is_own(model: str) -> bool:
    """Whether ``model`` is a function of the user's, and no name of timm's."""
    return model.startswith(PREFIX)


def called(model: str) -> str:
    """How messages call it."""
    return model if is_own(model) else f"timm's {model}"


def ask_for(model: str) -> None:
    """Lets this process run ``model``: the user has named it as a source."""
    _asked_for.add(model)


def make(model: str, options: Mapping[str, Any]) -> Any:
    """What the function returns for ``options``.

    Raises:
        UserError: the user has not named it, there is no such function, or it fails.
    """
    if model not in _asked_for:
        raise UserError(
            f"a file asks for the code {model}, which only you may name", f"give {model}@FILE with the file's weights"
        )
    module, name = _parts(model)
    try:
        function = getattr(importlib.import_module(module), name)
        return function(**options)
    except Exception as error:  # it is anybody's code
        failed = f"{type(error).__name__}: {one_line(error, 160)}"
        raise UserError(f"{model} fails ({failed})", "its folder belongs on PYTHONPATH or behind --tasks") from error


def digest_of(model: str) -> str:
    """SHA-256 of the file that holds the function; nothing is imported.

    Raises:
        UserError: there is no such file.
    """
    place = Path(*_parts(model)[0].split("."))
    for folder in map(Path, filter(None, sys.path)):
        for file in (folder / place / "__init__.py", folder / place.with_suffix(".py")):
            if file.is_file():
                return hashlib.sha256(file.read_bytes()).hexdigest()
    raise UserError(f"{model}: no module {_parts(model)[0]}", "its folder belongs on PYTHONPATH or behind --tasks")


def _parts(model: str) -> tuple[str, str]:
    module, colon, function = model.removeprefix(PREFIX).partition(":")
    if not colon or not all(part.isidentifier() for part in (*module.split("."), function)):
        raise UserError(f"{model} names no function", "write python:package.module:function")
    return module, function
