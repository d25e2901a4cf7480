"""``crossmae stage`` as a function: writes a cache file by file, so that it can be killed at any time and resumes."""

import errno
import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from crossmae.data.decode import UnreadableImage
from crossmae.data.images import Images, files_below, open_published
from crossmae.data.parallel import on_all_cores
from crossmae.data.staging.cache import find_cache
from crossmae.data.staging.forms import Entry, Form, require_space
from crossmae.data.staging.manifest import (
    INDEX,
    MANIFEST,
    NAMES,
    PLAN,
    UNREADABLE,
    Manifest,
    Plan,
    index_digest,
    part_path,
    read_manifest,
)
from crossmae.errors import UserError
from crossmae.files import write_atomically, write_bytes, write_json
from crossmae.parsing import parse_json
from crossmae.run.stop import StopGuard, Stopped

PER_PART = 512
"""Images in one file of a cache: what an interruption costs at most, per core."""

_LISTS = {".json", ".txt", ".csv"}
"""Suffixes of files next to the images that readers of data sets look for."""

Place = tuple[int, int, int, int]
"""Offset and size in bytes, height and width of pixels; an image that cannot be read has size 0."""


@dataclass(frozen=True)
class Part:
    """A file that is written, as a note next to it says until the cache is finished."""

    places: list[Place]
    digest: str
    changed: int
    unreadable: list[tuple[str, str]]
    """Name of each image that cannot be read, and why."""

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return sum(size for _, size, _, _ in self.places)


@dataclass(frozen=True)
class Staging:
    """Writes one cache; the folder's lock is held by the caller."""

    source: Path
    folder: Path
    form: Form
    processes: int | None = None
    per_part: int = PER_PART

    def run(self) -> Manifest:
        """Writes what is missing; returns at once if the cache is there.

        Raises:
            Stopped: a signal came; the same call resumes.
            UserError: no images, too small a disk, or a folder that holds something else.
        """
        layout, images = _open_whole(self.source)
        plan = Plan(layout, images.fingerprint, len(images), self.form.name, self.form.short_side, self.per_part)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._claim(plan)
        if not (self.folder / MANIFEST).is_file():
            self._write_parts(images, plan)
            self._finish(images, plan)
        return read_manifest(self.folder)

    def _claim(self, plan: Plan) -> None:
        path = self.folder / PLAN
        if path.is_file():
            before = asdict(parse_json(Plan, path.read_bytes(), str(path)))
            if differing := [name for name, value in asdict(plan).items() if before[name] != value]:
                what = f"{self.folder} holds a cache of other images or form ({', '.join(differing)})"
                raise UserError(what, "choose another folder")
        elif any(entry.name != "lock" for entry in self.folder.iterdir()):
            raise UserError(f"{self.folder} is not empty", "choose a new folder")
        write_json(asdict(plan), path)
        for leftover in self.folder.glob(".*.part"):
            leftover.unlink()

    def _write_parts(self, images: Images, plan: Plan) -> None:
        missing = [number for number in range(plan.parts) if _read_part(self.folder, number) is None]
        if not missing:
            return
        require_space(images, self.form, self.folder, len(missing) / plan.parts)
        done = plan.parts - len(missing)
        description = f"Staging {plan.images:,} images as {plan.form}"
        with StopGuard() as guard:
            for written in on_all_cores(PartWriter(images, plan, self.folder), missing, description, self.processes):
                done += written
                what = f"{done:,} of {plan.parts:,} parts are in {self.folder}"
                if not written:
                    raise UserError(f"the disk is full, {what}", "make room and start the same command again to resume")
                if guard.requested:
                    raise Stopped(f"stopped by {guard.reason}, {what}; start the same command again to resume")

    def _finish(self, images: Images, plan: Plan) -> None:
        parts = [_known(self.folder, number) for number in range(plan.parts)]
        index = np.array([place for part in parts for place in part.places], np.int64).reshape(-1, 4)
        with open(self.folder / INDEX, "wb") as file:
            np.save(file, index)
        names = "\0".join(images.relative(number) for number in range(len(images)))
        write_bytes(names.encode("utf-8", "surrogateescape"), self.folder / NAMES)
        unreadable = [f"{name}: {reason}\n" for part in parts for name, reason in part.unreadable]
        write_bytes("".join(unreadable).encode("utf-8", "surrogateescape"), self.folder / UNREADABLE)
        if plan.layout == "folder":
            self._copy_lists()
        digest = index_digest(self.folder)
        changed = sum(part.changed for part in parts)
        sizes = tuple((part.size, part.digest) for part in parts)
        Manifest(plan, changed, len(unreadable), digest, sizes).write(self.folder)
        for number in range(plan.parts):
            _note(part_path(self.folder, number)).unlink(missing_ok=True)

    def _copy_lists(self) -> None:
        for path in self.source.iterdir():
            if path.suffix in _LISTS and path.is_file() and not (self.folder / path.name).exists():
                write_bytes(path.read_bytes(), self.folder / path.name)


@dataclass(frozen=True)
class PartWriter:
    """Writes the parts of one cache, each complete or not at all."""

    images: Images
    plan: Plan
    folder: Path

    def __call__(self, number: int) -> bool:
        """Writes part ``number``; False if the disk is full."""
        path = part_path(self.folder, number)
        try:
            part = write_atomically(path, lambda unfinished: self._write(number, unfinished))
            write_json(asdict(part), _note(path))
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
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
        return Part(places, digest.hexdigest(), changed, unreadable)

    def _entry(self, index: int, unreadable: list[tuple[str, str]]) -> Entry:
        try:
            return self.plan.to_form().convert(self.images.read(index))
        except UnreadableImage as error:
            unreadable.append((self.images.name(index), str(error)))
            return Entry(b"", 0, 0, changed=False)


def _open_whole(source: Path) -> tuple[str, Images]:
    """The layout of what is to be staged, and all its images."""
    if find_cache(source):
        raise UserError(f"{source} is a cache already", "stage from the data set itself")
    # Archives may lie next to what was unpacked from them: image files come first, whatever else is there.
    if source.is_dir() and len(files := files_below(source)):
        return "folder", files
    return open_published(source)


def _read_part(folder: Path, number: int) -> Part | None:
    """What is known of a part that an earlier start wrote; None if it has to be written."""
    path = part_path(folder, number)
    if not path.is_file() or not _note(path).is_file():
        return None
    # Names may hold bytes that are no UTF-8, which only the standard library's JSON keeps.
    content = json.loads(_note(path).read_text())
    part = Part(**{**content, "unreadable": [(name, reason) for name, reason in content["unreadable"]]})
    return part if path.stat().st_size == part.size else None


def _known(folder: Path, number: int) -> Part:
    part = _read_part(folder, number)
    assert part is not None, f"part {number} has gone"
    return part


def _note(path: Path) -> Path:
    return path.with_suffix(".json")
