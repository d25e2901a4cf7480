"""What one image becomes in a cache, and how large that makes the cache."""

import io
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import ExifTags, Image

from crossmae.data.decode import UnreadableImage, opened, read_file, read_rgb
from crossmae.data.images import Images, Source
from crossmae.errors import UserError

FormName = Literal["jpeg", "raw"]
SHORT_SIDES: dict[FormName, int] = {"jpeg": 400, "raw": 256}
QUALITY = 90
"""JPEG quality of re-encoded images, with 4:2:0 subsampling."""
_LOOKED_AT = 100
"""Images that the size of a cache is judged by."""
_MARGIN = 1.1
"""Factor for what the images that were looked at do not show."""


@dataclass(frozen=True)
class Entry:
    """An image as a cache holds it."""

    content: bytes
    """An image file, or pixels in rows of RGB."""
    height: int
    width: int
    """Size of pixels; 0 x 0 for a file."""
    changed: bool
    """Whether it was made smaller, or holds the pixels of an image whose EXIF says how to turn it."""


@dataclass(frozen=True)
class Form:
    """Image files (``jpeg``) or 8-bit pixels (``raw``), of images whose shorter side is at most ``short_side``.

    Larger images are shrunk (bicubic, antialiased), smaller ones never enlarged; ``jpeg`` keeps the very bytes of
    those that it does not shrink.
    """

    name: FormName
    short_side: int

    def convert(self, source: Source) -> Entry:
        """The entry of one image.

        Raises:
            UnreadableImage: it cannot be decoded.
        """
        assert not isinstance(source, np.ndarray), "pixels come from a cache, and none is made of another"
        return self._file(source) if self.name == "jpeg" else self._pixels(source)

    def deviation(self) -> str:
        """What the form departs in from the paper's protocol."""
        if self.name == "jpeg":
            return f"images re-encoded as JPEG of quality {QUALITY} where their shorter side exceeds {self.short_side}"
        shrunk = f"shrunk to a shorter side of {self.short_side}, so that small crops of them are enlarged"
        return f"images turned upright and {shrunk}"

    def _file(self, source: Path | bytes) -> Entry:
        content = read_file(source)
        image = read_rgb(content, upright=False)
        if min(image.size) <= self.short_side:
            return Entry(content, 0, 0, changed=False)
        stream = io.BytesIO()
        self._shrunk(image).save(stream, "JPEG", quality=QUALITY, exif=_orientation(content))
        return Entry(stream.getvalue(), 0, 0, changed=True)

    def _pixels(self, source: Path | bytes) -> Entry:
        image = read_rgb(source)
        large = min(image.size) > self.short_side
        shrunk = self._shrunk(image) if large else image
        changed = large or bool(_orientation(read_file(source)))
        return Entry(np.asarray(shrunk).tobytes(), shrunk.height, shrunk.width, changed)

    def _shrunk(self, image: Image.Image) -> Image.Image:
        scale = self.short_side / min(image.size)
        size = round(image.width * scale), round(image.height * scale)
        return image.resize(size, Image.Resampling.BICUBIC)


def expected_bytes(images: Images, form: Form) -> int:
    """Size of all images in ``form``, judged by some that are spread evenly over them."""
    looked_at = np.unique(np.linspace(0, len(images) - 1, min(_LOOKED_AT, len(images))).astype(int))
    sizes = [_size(images, int(index), form) for index in looked_at]
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
            f"{_gigabytes(free)} free",
            "choose another folder, another form or a smaller --short-side",
        )


def _orientation(content: bytes) -> Image.Exif:
    """Which way is up, and nothing else: some readers follow it and others do not."""
    kept = Image.Exif()
    with opened(content) as image:
        if ExifTags.Base.Orientation in (exif := image.getexif()):
            kept[ExifTags.Base.Orientation] = exif[ExifTags.Base.Orientation]
    return kept


def _size(images: Images, index: int, form: Form) -> int:
    try:
        return len(form.convert(images.read(index)).content)
    except UnreadableImage:
        return 0


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:,.1f} GB" if count >= 1e8 else f"{count / 1e6:,.2f} MB"
