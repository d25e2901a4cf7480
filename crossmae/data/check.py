"""Which images of a data set cannot be read, found on all cores before a run."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from crossmae.data.decode import UnreadableImage, read_rgb
from crossmae.data.images import Images
from crossmae.data.parallel import on_all_cores
from crossmae.data.staging.manifest import is_sound, part_path, read_manifest
from crossmae.errors import UserError

_CHUNK = 64


@dataclass(frozen=True)
class Problem:
    """An image that cannot be read."""

    name: str
    reason: str


def check_images(images: Images, processes: int | None = None) -> Iterator[Problem]:
    """Decodes every image and yields those that pretraining would replace, in order, showing progress on a terminal.

    Args:
        processes: None for one per core.
    """
    starts = list(range(0, len(images), _CHUNK))
    for problems in on_all_cores(partial(_check, images), starts, f"Checking {len(images):,} images", processes):
        yield from problems


def _check(images: Images, start: int) -> list[Problem]:
    problems = []
    for index in range(start, min(start + _CHUNK, len(images))):
        try:
            read_rgb(images.read(index))
        except UnreadableImage as error:
            problems.append(Problem(images.name(index), str(error)))
    return problems


def check_cache(folder: Path, processes: int | None = None) -> None:
    """Reads a cache whole and compares it with the digests that were taken when it was written.

    Raises:
        UserError: files have changed; the line names them.
    """
    manifest = read_manifest(folder)
    parts = list(range(manifest.plan.parts))
    verified = on_all_cores(partial(is_sound, folder, manifest), parts, f"Verifying {folder}", processes)
    damaged = [part_path(folder, number).name for number, sound in zip(parts, verified, strict=True) if not sound]
    if damaged:
        raise UserError(f"{folder} is damaged: {', '.join(damaged)} changed; delete the folder and stage it again")
