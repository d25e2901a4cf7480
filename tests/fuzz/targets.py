"""Every reader of files that strangers may have written, each with sound files that it reads."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Target:
    """A file among all that its reader needs, in a folder of its own."""

    folder: Path
    sound: list[bytes]
    """Contents that can be read."""
    read: Callable[[], object]
    path: Path
    """What is exchanged for other contents."""
    restore: Callable[[], object] = field(default=lambda: None)
    """Undoes what reading has changed in the folder."""

    def write(self, content: bytes) -> None:
        """Puts ``content`` in the place of the file."""
        self.clear()
        self.path.write_bytes(content)

    def clear(self) -> None:
        """Leaves nothing in the place of the file."""
        self.restore()
        remove(self.path)


def remove(path: Path) -> None:
    """Removes a file, a link or an empty folder, if there is one."""
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    path.unlink(missing_ok=True)


Make = Callable[[Path], Target]
"""Fills an empty folder."""


def text_target(read: Callable[[str], object], *sound: str) -> Make:
    """A reader of texts, such as a user types or copies them."""

    def make(folder: Path) -> Target:
        path = folder / "text"

        def read_text() -> None:
            read(path.read_bytes().decode("utf-8", "surrogateescape"))

        return Target(folder, [text.encode() for text in sound], read_text, path)

    return make
