"""One run per folder: a lock that lasts as long as any process of the run lives.

The first process of a run takes the lock alone, leaves its name in the file, and then shares it with the run's other
processes (torchrun workers start their own sessions, so a kill of the parent's process group can leave them alive).
Forked data workers inherit it. A second run cannot start before the last process of the first is gone.
"""

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from crossmae.errors import UserError

TOKEN_VARIABLE = "CROSSMAE_LOCK_TOKEN"
"""Environment variable that hands the lock's token from a run's first process to its workers."""


@contextmanager
def hold_folder(folder: Path, wait: float = 0.0) -> Iterator[None]:
    """Holds ``folder`` for this run, waiting up to ``wait`` seconds (never less than a moment, since ``owner`` looks by
    taking the lock for one) for another run's processes to end.

    A process that was started with the token of the folder's current run joins that run instead.

    Raises:
        UserError: another run holds the folder; the line names its process and host.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    before = os.environ.get(TOKEN_VARIABLE)
    try:
        if not _joins(descriptor, folder):
            _take(descriptor, folder, wait)
        yield
    finally:
        os.close(descriptor)
        if before is None:
            os.environ.pop(TOKEN_VARIABLE, None)
        else:
            os.environ[TOKEN_VARIABLE] = before


def owner(folder: Path) -> str | None:
    """Process and host that hold ``folder``, or None if nobody does. Takes nothing."""
    path = folder / "lock"
    if not path.exists():
        return None
    descriptor = _open(path)
    try:
        # A shared lock succeeds next to a running run's shared lock, so the question is asked with an exclusive one.
        if _try(descriptor, fcntl.LOCK_EX):
            return None
        return _name(_read(descriptor))
    finally:
        os.close(descriptor)


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR)  # NFS locks nothing exclusively that is only open for reading.
    except OSError:
        return os.open(path, os.O_RDONLY)  # Somebody else's folder.


def _joins(descriptor: int, folder: Path) -> bool:
    token = os.environ.get(TOKEN_VARIABLE, "")
    if not token.startswith(f"{folder.resolve()}:"):
        return False
    if not _try(descriptor, fcntl.LOCK_SH) or _read(descriptor).get("token") != token:
        raise UserError(f"{folder} now belongs to another run", "this process of an ended run stops")
    return True


def _take(descriptor: int, folder: Path, wait: float) -> None:
    deadline = time.monotonic() + max(wait, 0.5)
    while not _try(descriptor, fcntl.LOCK_EX):
        if time.monotonic() >= deadline:
            raise UserError(f"{folder} is in use by {_name(_read(descriptor))}", "wait for it or stop it")
        time.sleep(0.05)
    token = f"{folder.resolve()}:{uuid4().hex}"
    content = {"pid": os.getpid(), "host": socket.gethostname(), "token": token}
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(content).encode(), 0)
    os.environ[TOKEN_VARIABLE] = token
    # Turning an exclusive lock into a shared one is not atomic: whoever slipped in between is seen here.
    if not _try(descriptor, fcntl.LOCK_SH) or _read(descriptor).get("token") != token:
        raise UserError(f"{folder} was taken by {_name(_read(descriptor))} at the same moment", "start again")


def _try(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read(descriptor: int) -> dict[str, str]:
    try:
        content = json.loads(os.pread(descriptor, 4096, 0) or b"{}")
    except json.JSONDecodeError:
        return {}
    return content if isinstance(content, dict) else {}


def _name(content: dict[str, str]) -> str:
    return f"process {content.get('pid', 'unknown')} on {content.get('host', 'an unknown host')}"
