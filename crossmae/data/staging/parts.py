"""Writing the files of a cache, each whole or not at all, so that staging can be killed at any time."""

import errno
import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from crossmae.data.decode import UnreadableImage
from crossmae.data.images import Images
from crossmae.data.staging.forms import Entry
from crossmae.data.staging.manifest import Plan, part_path, write_whole

Place = tuple[int, int, int, int]
"""Offset and size in bytes, height and width of pixels; an image that cannot be read has size 0."""


@dataclass(frozen=True)
class Part:
    """A file that is written."""

    places: list[Place]
    digest: str
    changed: int
    unreadable: list[tuple[str, str]]
    """Name of each image that cannot be read, and why."""

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(size for _, size, _, _ in self.places)


@dataclass(frozen=True)
class PartWriter:
    """Writes the parts of one cache."""

    images: Images
    plan: Plan
    folder: Path

    def __call__(self, number: int) -> bool:
        """Writes part ``number``; False if the disk is full."""
        path = part_path(self.folder, number)
        unfinished = path.with_suffix(".tmp")
        try:
            part = self._write(number, unfinished)
            unfinished.replace(path)
            write_whole(_note(path), json.dumps(asdict(part)).encode())
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            unfinished.unlink(missing_ok=True)
            return False
        return True

    def _write(self, number: int, path: Path) -> Part:
        places: list[Place] = []
        unreadable: list[tuple[str, str]] = []
        digest, changed = hashlib.sha256(), 0
        with open(path, "wb") as file:
            for index in self.plan.indices(number):
                entry = self._entry(index, unreadable)
                places.append((file.tell(), len(entry.content), entry.height, entry.width))
                file.write(entry.content)
                digest.update(entry.content)
                changed += entry.changed
            file.flush()
            os.fsync(file.fileno())
        return Part(places, digest.hexdigest(), changed, unreadable)

    def _entry(self, index: int, unreadable: list[tuple[str, str]]) -> Entry:
        try:
            return self.plan.to_form().convert(self.images.read(index))
        except UnreadableImage as error:
            unreadable.append((self.images.name(index), str(error)))
            return Entry(b"", 0, 0, changed=False)


def read_part(folder: Path, number: int) -> Part | None:
    """What is known of a part that an earlier start wrote; None if it has to be written."""
    path = part_path(folder, number)
    if not path.is_file() or not _note(path).is_file():
        return None
    content = json.loads(_note(path).read_text())
    part = Part(**{**content, "unreadable": [(name, reason) for name, reason in content["unreadable"]]})
    return part if path.stat().st_size == part.size else None


def forget_notes(folder: Path, plan: Plan) -> None:
    """Removes what only staging itself needs."""
    for number in range(plan.parts):
        _note(part_path(folder, number)).unlink(missing_ok=True)


def _note(path: Path) -> Path:
    return path.with_suffix(".json")
