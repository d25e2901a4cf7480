"""``crossmae stage`` as a function."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from crossmae.data.images import Images, open_whole
from crossmae.data.parallel import on_all_cores
from crossmae.data.staging.forms import Form
from crossmae.data.staging.manifest import (
    INDEX,
    MANIFEST,
    NAMES,
    PLAN,
    UNREADABLE,
    Manifest,
    Plan,
    index_digest,
    read_manifest,
    write_whole,
)
from crossmae.data.staging.parts import Part, PartWriter, forget_notes, read_part
from crossmae.data.staging.space import require_space
from crossmae.errors import UserError
from crossmae.run.stop import StopGuard, Stopped

PER_PART = 512
"""Images in one file of a cache: what an interruption costs at most, per core."""

_LISTS = {".json", ".txt", ".csv"}
"""Files beside the images that readers of data sets look for."""


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
            Stopped: a signal came; the same call goes on.
            UserError: no images, too small a disk, or a folder that holds something else.
        """
        layout, images = open_whole(self.source)
        plan = Plan(layout, images.fingerprint, len(images), self.form.name, self.form.short_side, self.per_part)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._claim(plan)
        if not (self.folder / MANIFEST).is_file():
            self._write_parts(images, plan)
            self._finish(images, plan)
        return read_manifest(self.folder)

    def _claim(self, plan: Plan) -> None:
        path = self.folder / PLAN
        if path.is_file() and (before := json.loads(path.read_text())) != asdict(plan):
            differing = ", ".join(name for name, value in asdict(plan).items() if before.get(name) != value)
            raise UserError(f"{self.folder} holds a cache of other images or form ({differing}); choose another folder")
        if not path.is_file() and any(entry.name != "lock" for entry in self.folder.iterdir()):
            raise UserError(f"{self.folder} is not empty; choose a new folder")
        write_whole(path, json.dumps(asdict(plan)).encode())

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
                    raise UserError(f"the disk is full, {what}; make room and start the same command again to go on")
                if guard.requested:
                    raise Stopped(f"stopped by {guard.reason}, {what}; start the same command again to go on")

    def _finish(self, images: Images, plan: Plan) -> None:
        parts = [_known(self.folder, number) for number in range(plan.parts)]
        index = np.array([place for part in parts for place in part.places], np.int64).reshape(-1, 4)
        with open(self.folder / INDEX, "wb") as file:
            np.save(file, index)
        names = "\0".join(images.relative(number) for number in range(len(images)))
        write_whole(self.folder / NAMES, names.encode("utf-8", "surrogateescape"))
        unreadable = [f"{name}: {reason}\n" for part in parts for name, reason in part.unreadable]
        write_whole(self.folder / UNREADABLE, "".join(unreadable).encode("utf-8", "surrogateescape"))
        if plan.layout == "folder":
            self._copy_lists()
        digest = index_digest(self.folder)
        changed = sum(part.changed for part in parts)
        Manifest(plan, changed, len(unreadable), digest, tuple((part.size, part.digest) for part in parts)).write(
            self.folder
        )
        forget_notes(self.folder, plan)

    def _copy_lists(self) -> None:
        for path in self.source.iterdir():
            if path.suffix in _LISTS and path.is_file() and not (self.folder / path.name).exists():
                write_whole(self.folder / path.name, path.read_bytes())


def _known(folder: Path, number: int) -> Part:
    part = read_part(folder, number)
    assert part is not None, f"part {number} has gone"
    return part
