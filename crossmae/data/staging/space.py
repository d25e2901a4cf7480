"""How large a cache will be, before it is written."""

import shutil
from pathlib import Path

import numpy as np

from crossmae.data.decode import UnreadableImage
from crossmae.data.images import Images
from crossmae.data.staging.forms import Form
from crossmae.errors import UserError

_LOOKED_AT = 100
_MARGIN = 1.1
"""For what the images that were looked at do not show."""


def expected_bytes(images: Images, form: Form) -> int:
    """Size of all images in ``form``, judged by some that are spread evenly over them."""
    chosen = np.unique(np.linspace(0, len(images) - 1, min(_LOOKED_AT, len(images))).astype(int))
    sizes = [_size(images, int(index), form) for index in chosen]
    return int(sum(sizes) / len(sizes) * len(images))


def require_space(images: Images, form: Form, folder: Path, share: float) -> None:
    """Refuses to start what the disk cannot hold.

    Args:
        share: of the images that remain to be written.

    Raises:
        UserError: the disk is too small; the line says by how much.
    """
    needed = int(expected_bytes(images, form) * share * _MARGIN)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise UserError(
            f"staging {len(images):,} images as {form.name} takes about {_gigabytes(needed)}, and {folder} has "
            f"{_gigabytes(free)} free; choose another folder, another form or a smaller --short-side"
        )


def _size(images: Images, index: int, form: Form) -> int:
    try:
        return len(form.convert(images.read(index)).content)
    except UnreadableImage:
        return 0


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:,.1f} GB" if count >= 1e8 else f"{count / 1e6:,.2f} MB"
