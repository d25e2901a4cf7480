"""What is to be staged, and what a finished cache says of itself."""

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from crossmae.data.staging.forms import Form, FormName
from crossmae.errors import UserError, one_line
from crossmae.files import open_regular, read_regular, write_json
from crossmae.parsing import Count, CountOrZero, Strict, parse_json, read_json

MANIFEST, PLAN = "crossmae-cache.json", "crossmae-staging.json"
INDEX, NAMES, UNREADABLE = "index.npy", "names", "unreadable.txt"


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
class Plan(Strict):
    """What decides a cache's content; staging resumes in a folder that holds the same plan."""

    layout: str
    """Layout of the source: ``folder``, ``list`` or ``shards``."""
    source: str
    """Fingerprint of the source's names and their order."""
    images: Count
    form: FormName
    short_side: Count
    per_part: Count

    @property
    def parts(self) -> int:
        """Number of files that hold the images."""
        return -(-self.images // self.per_part)

    def indices(self, part: int) -> range:
        """The images in ``part``."""
        return range(part * self.per_part, min((part + 1) * self.per_part, self.images))

    def to_form(self) -> Form:
        """What each image becomes."""
        return Form(self.form, self.short_side)


@dataclass(frozen=True)
class Manifest(Strict):
    """A finished cache."""

    plan: Plan
    changed: CountOrZero
    """Images that were made smaller."""
    unreadable: CountOrZero
    index: str
    """Digest of the index and the names."""
    parts: tuple[tuple[CountOrZero, str], ...]
    """Bytes and SHA-256 of each part."""

    @property
    def bytes(self) -> int:
        """Size of all parts."""
        return sum(size for size, _ in self.parts)

    def write(self, folder: Path) -> None:
        """Makes the cache in ``folder`` a finished one."""
        write_json(asdict(self), folder / MANIFEST)


def part_path(folder: Path, part: int) -> Path:
    """Where the images of ``part`` lie."""
    return folder / f"{part:06d}.bin"


def read_part(folder: Path, number: int) -> Part | None:
    """What is known of a part that an earlier start wrote; None if it has to be written."""
    path = part_path(folder, number)
    if not path.is_file() or not note_path(path).is_file():
        return None
    # Names may hold bytes that are no UTF-8, which only the standard library's JSON keeps.
    try:
        content = read_json(note_path(path))
        part = Part(**{**content, "unreadable": [(name, reason) for name, reason in content["unreadable"]]})
        places = all(type(value) is int and 0 <= value < 2**62 for place in part.places for value in place)
        return part if places and path.stat().st_size == part.size else None
    except (UserError, OSError, ValueError, KeyError, TypeError):  # not a note of ours: written again
        return None


def note_path(path: Path) -> Path:
    """Where what is known of the part ``path`` lies until the cache is finished."""
    return path.with_suffix(".json")


def read_manifest(folder: Path) -> Manifest:
    """The manifest in ``folder``, after a look at the sizes of its files and the digest of its index.

    Raises:
        UserError: it is damaged or not whole.
    """
    try:
        manifest = parse_json(Manifest, read_regular(folder / MANIFEST), MANIFEST)
        digest = index_digest(folder)
    except (OSError, UserError) as error:
        raise _damaged(folder, one_line(error)) from error
    for number, (size, _) in enumerate(manifest.parts):
        path = part_path(folder, number)
        if not path.is_file() or path.stat().st_size != size:
            raise _damaged(folder, f"{path.name} is not {size:,} bytes long")
    if len(manifest.parts) != manifest.plan.parts or digest != manifest.index:
        raise _damaged(folder, f"{INDEX} or {NAMES} has changed")
    return manifest


def index_digest(folder: Path) -> str:
    """SHA-256 of the index and the names."""
    digest = hashlib.sha256()
    for name in (INDEX, NAMES):
        digest.update(read_regular(folder / name))
    return digest.hexdigest()


def is_sound(folder: Path, manifest: Manifest, part: int) -> bool:
    """Whether ``part`` holds what was written."""
    with open_regular(part_path(folder, part)) as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == manifest.parts[part][1]


def read_index(folder: Path, manifest: Manifest) -> NDArray[np.int64]:
    """(images, 4): offset in the part and size in bytes, height and width of pixels; mapped, not loaded.

    Raises:
        UserError: it is none of the images of ``manifest``, or leads beyond a part.
    """
    try:
        index: NDArray[np.int64] = np.load(folder / INDEX, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # a wrong head fails in every way there is
        raise _damaged(folder, f"{INDEX} cannot be read ({one_line(error, 100)})") from error
    if index.shape != (manifest.plan.images, 4) or index.dtype != np.int64:
        raise _damaged(folder, f"{INDEX} is not of {manifest.plan.images:,} images")
    offset, size, height, width = index.T
    sizes = np.array([size for size, _ in manifest.parts])
    reach = sizes[np.arange(len(index)) // min(manifest.plan.per_part, len(index))]
    # Bounds far above any real part and image, so that no sum or product overflows.
    outside = index.min() < 0 or index.max() > 2**50 or index[:, 2:].max() > 2**28 or (offset + size > reach).any()
    if outside or np.where(height > 0, height * width * 3 != size, width != 0).any():
        raise _damaged(folder, f"{INDEX} leads beyond the images")
    return index


def _damaged(folder: Path, what: str) -> UserError:
    return UserError(f"the cache {folder} is damaged: {what}", "delete the folder and stage it again")
