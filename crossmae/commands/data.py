"""The commands ``crossmae stage`` and ``crossmae check-data``."""

from collections.abc import Iterator
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crossmae.errors import UserError, printable

if TYPE_CHECKING:
    from crossmae.data.images import Images

Source = Annotated[Path, typer.Argument(help="Image folder, list of files, or folder of tar shards.")]
Processes = Annotated[int | None, typer.Option(help="Default: one per core.", min=0)]

_CHUNK = 64
"""Images that a process checks at a time."""


class FormOption(StrEnum):
    """Forms of a cache, as the command line names them."""

    JPEG = "jpeg"
    RAW = "raw"


def register(app: typer.Typer) -> None:
    """Adds the commands to ``app``."""
    app.command(
        epilog="Examples: crossmae stage /datasets/imagenet /dev/shm/imagenet · "
        "crossmae stage /datasets/inat19 /nvme/inat19 --form raw"
    )(stage)
    app.command("check-data", epilog="Example: crossmae check-data /datasets/imagenet")(check_data)


def stage(
    source: Source,
    dest: Annotated[Path, typer.Argument(help="Folder of the cache. The same command again resumes.")],
    form: Annotated[FormOption, typer.Option(help="Image files, or 8-bit pixels.")] = FormOption.JPEG,
    short_side: Annotated[int | None, typer.Option(help="Shrink larger images. Default: jpeg 400, raw 256.")] = None,
    processes: Processes = None,
) -> None:
    """Copies a data set to fast storage; every command takes the copy where it takes the data set."""
    from crossmae.data.staging.forms import SHORT_SIDES, Form, FormName
    from crossmae.data.staging.manifest import UNREADABLE
    from crossmae.data.staging.stage import Staging
    from crossmae.run.lock import hold_folder

    if short_side is not None and short_side < 1:
        raise UserError(f"--short-side {short_side} is not positive")
    name: FormName = "jpeg" if form is FormOption.JPEG else "raw"
    # An interrupted staging's processes finish the file that they are writing before they end.
    staging = Staging(source, dest, Form(name, short_side or SHORT_SIDES[name]), processes)
    staging.require_possible()
    with hold_folder(dest, wait=30.0):
        manifest = staging.run()
    images = f"{manifest.plan.images:,} images, {manifest.bytes / 1e6:,.1f} MB, {manifest.changed:,} of them shrunk"
    print(f"staged in {dest}: {images}")
    if manifest.unreadable:
        print(f"{manifest.unreadable:,} images cannot be read and stay so; {dest / UNREADABLE} lists them")


def check_data(data: Source, processes: Processes = None) -> None:
    """Lists the images that cannot be read, and the damaged files of a cache; exit code 1 if there are any."""
    from crossmae.data.open import open_images
    from crossmae.data.staging.cache import find_cache

    if find_cache(data):
        _check_cache(data, processes)
    images = open_images(data)
    count = 0
    for name, reason in unreadable_images(images, processes):
        print(printable(f"{name}: {reason}"), flush=True)
        count += 1
    if count:
        raise UserError(f"{count} of {len(images)} images cannot be read", "pretraining would replace them by others")
    print(f"all {len(images)} images can be read")


def unreadable_images(images: "Images", processes: int | None = None) -> Iterator[tuple[str, str]]:
    """Decodes every image, showing progress on a terminal.

    Args:
        processes: None for one per core.

    Yields:
        Name of each image that pretraining would replace, in order, and why it cannot be read.
    """
    from crossmae.data.parallel import on_all_cores

    starts = list(range(0, len(images), _CHUNK))
    for unreadable in on_all_cores(partial(_check, images), starts, f"Checking {len(images):,} images", processes):
        yield from unreadable


def _check(images: "Images", start: int) -> list[tuple[str, str]]:
    from crossmae.data.decode import UnreadableImage, read_rgb

    unreadable = []
    for index in range(start, min(start + _CHUNK, len(images))):
        try:
            read_rgb(images.read(index))
        except UnreadableImage as error:
            unreadable.append((images.name(index), str(error)))
    return unreadable


def _check_cache(folder: Path, processes: int | None) -> None:
    """Reads a cache whole and compares it with the digests that were taken when it was written."""
    from crossmae.data.parallel import on_all_cores
    from crossmae.data.staging.manifest import is_sound, part_path, read_manifest

    manifest = read_manifest(folder)
    parts = list(range(manifest.plan.parts))
    verified = on_all_cores(partial(is_sound, folder, manifest), parts, f"Verifying {folder}", processes)
    damaged = [part_path(folder, number).name for number, sound in zip(parts, verified, strict=True) if not sound]
    if damaged:
        raise UserError(f"{folder} is damaged: {', '.join(damaged)} changed", "delete the folder and stage it again")
