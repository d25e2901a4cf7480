"""``crossmae stage`` as a function: writes a cache file by file, so that it can be killed at any time and resumes."""

import errno
import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from crossmae.data.decode import UnreadableImage
from crossmae.data.images import Images
from crossmae.data.parallel import on_all_cores
from crossmae.data.published import files_below, names_below, open_published
from crossmae.data.staging.cache import LISTS, TABLES, find_cache
from crossmae.data.staging.forms import Entry, Form, require_space
from crossmae.data.staging.manifest import (
    INDEX,
    MANIFEST,
    NAMES,
    PLAN,
    UNREADABLE,
    Manifest,
    Part,
    Place,
    Plan,
    index_digest,
    note_path,
    part_path,
    read_manifest,
    read_part,
)
from crossmae.errors import UserError
from crossmae.files import write_atomically, write_bytes, write_json
from crossmae.parsing import parse_file
from crossmae.run.stop import StopGuard, Stopped

PER_PART = 512
"""Images in one file of a cache: what an interruption costs at most, per core."""


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

    def require_possible(self) -> None:
        """Refuses what cannot be staged before anything is written, the lock of the folder included.

        Raises:
            UserError: the source is a cache or not there, or the folder holds something else.
        """
        _refuse_cache(self.source)
        if not self.source.exists():
            raise UserError(f"nothing at {self.source}", "give an image folder, a list of files or a folder of shards")
        if self.folder.exists() and not self.folder.is_dir():
            raise UserError(f"{self.folder} is a file", "choose a new folder")
        if self.folder.exists() and not (self.folder / PLAN).is_file() and any(map(_is_foreign, self.folder.iterdir())):
            raise UserError(f"{self.folder} is not empty", "choose a new folder")

    def _claim(self, plan: Plan) -> None:
        self.require_possible()
        path = self.folder / PLAN
        # A plan of which nothing is written yet, as for want of space, binds nobody.
        if path.is_file() and any(self.folder.glob("*.bin")):
            before = asdict(parse_file(Plan, path))
            if differing := [name for name, value in asdict(plan).items() if before[name] != value]:
                what = f"{self.folder} holds a cache of other images or form ({', '.join(differing)})"
                raise UserError(what, "choose another folder")
        write_json(asdict(plan), path)
        for leftover in self.folder.glob(".*.part"):
            leftover.unlink()

    def _write_parts(self, images: Images, plan: Plan) -> None:
        missing = [number for number in range(plan.parts) if read_part(self.folder, number) is None]
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
            note_path(part_path(self.folder, number)).unlink(missing_ok=True)

    def _copy_lists(self) -> None:
        beside = (path.name for path in self.source.iterdir() if path.suffix.lower() in LISTS)
        within = names_below(self.source, lambda name: Path(name).suffix.lower() in TABLES)
        for name in sorted({*beside, *within}):
            target = self.folder / name
            # A file of the cache itself, such as its lock, may be called as a folder of the data set.
            if (self.source / name).is_file() and not any(place.is_file() for place in (target, *target.parents)):
                target.parent.mkdir(parents=True, exist_ok=True)
                write_bytes((self.source / name).read_bytes(), target)


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
            write_json(asdict(part), note_path(path))
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
    _refuse_cache(source)
    layout, images = open_published(source)
    return (layout, files_below(source)) if layout == "folder" else (layout, images)


def _refuse_cache(source: Path) -> None:
    if find_cache(source):
        raise UserError(f"{source} is a cache already", "stage from the data set itself")


def _is_foreign(entry: Path) -> bool:
    """Whether a file is none that a staging leaves that was killed before it wrote its plan."""
    return entry.name != "lock" and not (entry.name.startswith(".") and entry.name.endswith(".part"))


def _known(folder: Path, number: int) -> Part:
    part = read_part(folder, number)
    assert part is not None, f"part {number} has gone"
    return part
