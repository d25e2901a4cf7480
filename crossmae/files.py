"""Files and folders that are complete or not there: the one place that writes through a temporary name."""

import errno
import json
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any, BinaryIO, TypeVar
from uuid import uuid4

T = TypeVar("T")

DATA_VARIABLE = "CROSSMAE_DATA"
"""Environment variable that names the folder of all data sets; ``data`` in the working folder without it."""


MOST_BYTES = 2**31
"""A larger file is not read as a whole; COCO's annotations, the largest that are, have 2**29."""


def data_folder() -> Path:
    """The folder in which a data set lies under its name, if the user does not say otherwise."""
    return Path(os.environ.get(DATA_VARIABLE, "data"))


def open_regular(path: Path) -> BufferedReader:
    """Opens a file for reading, and never waits for what is none, such as a pipe or a device.

    Raises:
        OSError: it cannot be opened or is no regular file.
    """
    refusal = OSError(errno.EINVAL, "no regular file", str(path))
    # Looked at before, since to open a device may act on it, and after, since it may have been exchanged in between.
    if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116 - of millions of images
        raise refusal
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise refusal
    return os.fdopen(descriptor, "rb")


def write_atomically(path: Path, write: Callable[[Path], T]) -> T:
    """Lets ``write`` fill a temporary file next to ``path``, which takes its place once its content is on the disk.

    A kill or a full disk leaves the former file as it was.

    Args:
        write: is called with the temporary file's path.

    Returns:
        What ``write`` returned.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{uuid4().hex}.part")
    try:
        result = write(part)
        with part.open("rb") as written:
            os.fsync(written.fileno())
        part.replace(path)
        return result
    finally:
        part.unlink(missing_ok=True)


def write_text(text: str, path: Path) -> None:
    """Writes a text file, complete or not at all."""
    write_atomically(path, lambda part: part.write_text(text))


def write_bytes(content: bytes, path: Path) -> None:
    """Writes a file, complete or not at all."""
    write_atomically(path, lambda part: part.write_bytes(content))


def write_json(content: Any, path: Path) -> None:
    """Writes a JSON file of two-space indentation, complete or not at all."""
    write_text(json.dumps(content, indent=2) + "\n", path)


def open_own(path: Path, flags: int) -> int:
    """A descriptor of a regular file (0644 less the umask if ``flags`` create it), opened without following a link.

    A link in a run's folder may point to any file of the user, and a pipe would keep a writer waiting for ever.

    Raises:
        OSError: there is a link, a pipe or a folder in its place.
    """
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o644)
    return _regular(descriptor, path)


def open_to_append(path: Path) -> BinaryIO:
    """Opens a regular file to append to, as ``open_own``."""
    return os.fdopen(open_own(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT), "ab")


def read_regular(path: Path, most: int = MOST_BYTES) -> bytes:
    """The content of a regular file.

    Raises:
        OSError: as ``open_regular``, or it has more than ``most`` bytes, as a file with holes may on any disk.
    """
    with open_regular(path) as file:
        if os.fstat(file.fileno()).st_size > most:
            raise OSError(errno.EFBIG, f"larger than {most:,} bytes", str(path))
        return file.read()


def _regular(descriptor: int, path: Path) -> int:
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise OSError(errno.EINVAL, "no regular file", str(path))


def remove_leftovers(folder: Path) -> None:
    """Removes what killed writers left in ``folder``; to be called where nobody else writes, such as under a lock."""
    for part in folder.glob(".*.part"):
        part.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Waits until the names in ``folder`` are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A temporary sibling to write into, which becomes ``folder`` if the block ends well; nothing is left otherwise.

    Of several processes that write the same folder at once, the first to finish wins.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = folder.with_name(f".{folder.name}-{uuid4().hex}")
    unfinished.mkdir()
    try:
        yield unfinished
        try:
            unfinished.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
