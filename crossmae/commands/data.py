"""The commands ``crossmae stage`` and ``crossmae check-data``."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from crossmae.errors import UserError

Source = Annotated[Path, typer.Argument(help="Image folder, list of files, or folder of tar shards.")]
Processes = Annotated[int | None, typer.Option(help="Default: one per core.")]


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
    dest: Annotated[Path, typer.Argument(help="Folder of the cache. The same command again goes on.")],
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
    with hold_folder(dest, wait=30.0):
        manifest = Staging(source, dest, Form(name, short_side or SHORT_SIDES[name]), processes).run()
    images = f"{manifest.plan.images:,} images, {manifest.bytes / 1e6:,.1f} MB, {manifest.changed:,} of them shrunk"
    print(f"staged in {dest}: {images}")
    if manifest.unreadable:
        print(f"{manifest.unreadable:,} images cannot be read and stay so; {dest / UNREADABLE} lists them")


def check_data(data: Source, processes: Processes = None) -> None:
    """Lists the images that cannot be read, and the damaged files of a cache; exit code 1 if there are any."""
    from crossmae.data.check import check_cache, check_images
    from crossmae.data.open import open_images
    from crossmae.data.staging.cache import find_cache

    if find_cache(data):
        check_cache(data, processes)
    images = open_images(data)
    count = 0
    for problem in check_images(images, processes):
        print(f"{problem.name}: {problem.reason}", flush=True)
        count += 1
    if count:
        raise UserError(f"{count} of {len(images)} images cannot be read; pretraining would replace them by others")
    print(f"all {len(images)} images can be read")
