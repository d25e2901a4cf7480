"""What a reader of a foreign file may do: return, or refuse in one line. Nothing else: see ``attempt``."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from crossmae.data.decode import UnreadableImage
from crossmae.errors import UserError, one_line
from tests.fuzz.targets import Target

SECONDS = 60
"""A reader that takes longer hangs."""
_STARTS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "pty.spawn")
_CHANGES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.chmod", "os.truncate")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


class HarmError(AssertionError):
    """What a reader did that it must not do."""


def attempt(target: Target, content: bytes | Callable[[], object]) -> None:
    """Has ``target`` read ``content``, or what a function puts there, in place of its file.

    Raises:
        HarmError: another error than one line for the user, a process started, a file changed outside the target's
            folder, or no end within ``SECONDS``.
    """
    if isinstance(content, bytes):
        target.write(content)
    else:
        content()
    with _watched(target.folder) as deeds, _in_time():
        try:
            target.read()
        except (UserError, UnreadableImage) as error:
            if not one_line(error).isprintable():  # what the command lines print
                raise HarmError(f"no one line: {str(error)!r}") from error
        except HarmError:
            raise
        except BaseException as error:
            raise HarmError(f"{type(error).__name__}: {one_line(error, 200)}") from error
    if deeds:
        raise HarmError(f"it did {deeds[0]}")


_watching: list[tuple[str, list[str]]] = []


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if not _watching:
        return
    folder, deeds = _watching[-1]
    changes = event in _CHANGES or (event == "open" and _writes(*arguments[1:]))
    changes = changes and not (event == "os.mkdir" and os.path.isdir(arguments[0]))  # noqa: PTH112 - no new folder
    if event in _STARTS or (changes and not _inside(arguments[0], folder, event == "open")):
        deeds.append(f"{event} {str(arguments)[:200]}")


def _writes(mode: object, flags: object) -> bool:
    if isinstance(mode, str):
        return any(letter in mode for letter in "wax+")
    return isinstance(flags, int) and bool(flags & _WRITING) and not flags & os.O_NOFOLLOW  # which refuses links


def _inside(path: object, folder: str, follows: bool) -> bool:
    if not isinstance(path, str | bytes | os.PathLike):
        return True  # a descriptor that was opened before
    # The name is changed in its folder; what a link of that name points to is only written by ``open``.
    name = os.fsdecode(path)
    text = os.path.realpath(name if follows else Path(name).parent)
    # Python keeps what it compiled of modules that are loaded late.
    return text.startswith((folder, "/dev/null")) or "__pycache__" in text


@contextmanager
def _watched(folder: Path) -> Iterator[list[str]]:
    if not _installed:
        sys.addaudithook(_hook)
        _installed.append(True)
    deeds: list[str] = []
    _watching.append((str(folder.resolve()), deeds))
    try:
        yield deeds
    finally:
        _watching.pop()


_installed: list[bool] = []


@contextmanager
def _in_time() -> Iterator[None]:
    def late(_number: int, _frame: FrameType | None) -> None:
        raise HarmError(f"no end after {SECONDS} seconds")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
