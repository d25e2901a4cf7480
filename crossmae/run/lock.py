"""One run per folder: a lock that lasts as long as any process of the run lives.

The first process of a run takes the lock alone, leaves its name in the file, and then shares it with the run's other
processes (torchrun workers start their own sessions, so a kill of the parent's process group can leave them alive).
Forked data workers inherit it. A second run cannot start before the last process of the first is gone.
"""

import errno
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
from crossmae.files import open_own

TOKEN_VARIABLE = "CROSSMAE_LOCK_TOKEN"
"""Environment variable that hands the lock's token from a run's first process to its workers."""


class HeldFolder:
    """A folder that this process holds."""

    def __init__(self, folder: Path, descriptor: int) -> None:
        self.folder = folder
        self.descriptor = descriptor

    def keep(self) -> None:
        """Takes the lock again if its file was deleted: a lock on a file without a name keeps nobody out.

        To be called now and then by a process that took the lock itself.

        Raises:
            UserError: another process took the folder in the meantime.
        """
        if _same_file(self.descriptor, self.folder / "lock"):
            return
        new = _open(self.folder, os.O_RDWR | os.O_CREAT)
        try:
            _take(new, self.folder, wait=0.0)
        except UserError:
            os.close(new)
            raise
        os.close(self.descriptor)
        self.descriptor = new


@contextmanager
def hold_folder(folder: Path, wait: float = 0.0) -> Iterator[HeldFolder]:
    """Holds ``folder`` for this run, waiting up to ``wait`` seconds (never less than a moment, since ``owner`` looks by
    taking the lock for one) for another run's processes to end.

    A process that was started with the token of the folder's current run joins that run instead.

    Raises:
        UserError: another run holds the folder (the line names its process and host), or its lock is no plain file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    held = HeldFolder(folder, _open(folder, os.O_RDWR | os.O_CREAT))
    before = os.environ.get(TOKEN_VARIABLE)
    try:
        if not _joins(held.descriptor, folder):
            _take(held.descriptor, folder, wait)
        yield held
    finally:
        os.close(held.descriptor)
        if before is None:
            os.environ.pop(TOKEN_VARIABLE, None)
        else:
            os.environ[TOKEN_VARIABLE] = before


def owner(folder: Path) -> str | None:
    """Process and host that hold ``folder``, or None if nobody does. Takes nothing."""
    descriptor = _open_to_ask(folder / "lock")
    if descriptor is None:
        return None
    try:
        # A shared lock succeeds next to a running run's shared lock, so the question is asked with an exclusive one.
        if _try(descriptor, fcntl.LOCK_EX):
            return None
        return _name(_read(descriptor))
    finally:
        os.close(descriptor)


def refuse_if_held(folder: Path) -> None:
    """Looks, before work that needs no lock, whether ``hold_folder`` would be refused afterwards.

    Raises:
        UserError: somebody holds ``folder``.
    """
    if name := owner(folder):
        raise _in_use(folder, name)


def _in_use(folder: Path, name: str) -> UserError:
    return UserError(f"{folder} is in use by {name}", "wait for it or stop it")


def _open(folder: Path, flags: int) -> int:
    path = folder / "lock"
    try:
        return open_own(path, flags)
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.EINVAL, errno.ENXIO, errno.EISDIR):
            raise
        raise UserError(f"{path} is a link or no file, and not a lock of ours", "remove it") from error


def _open_to_ask(path: Path) -> int | None:
    for flags in (os.O_RDWR, os.O_RDONLY):  # NFS locks nothing exclusively that is only open for reading.
        try:
            return open_own(path, flags)
        except PermissionError:  # Somebody else's folder.
            continue
        except OSError:
            return None
    return None


def _same_file(descriptor: int, path: Path) -> bool:
    try:
        named = path.stat(follow_symlinks=False)
    except OSError:
        return False
    own = os.fstat(descriptor)
    return (named.st_dev, named.st_ino) == (own.st_dev, own.st_ino)


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
            raise _in_use(folder, _name(_read(descriptor)))
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
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _name(content: dict[str, str]) -> str:
    return f"process {content.get('pid', 'unknown')} on {content.get('host', 'an unknown host')}"
