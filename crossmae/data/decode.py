"""One rule for every image file: what can be converted is converted, the rest is unreadable."""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

if TYPE_CHECKING:
    from crossmae.data.images import Source

MOST_PIXELS = 178_956_970
"""Images with more are refused unread (Pillow's own bound for a decompression bomb)."""


class UnreadableImage(Exception):  # noqa: N818 - says what the image is
    """A file that holds no image that can be decoded as a whole; the message says why."""


def read_rgb(source: "Source", upright: bool = True) -> Image.Image:
    """The image as 8-bit RGB.

    Converted: EXIF orientation, CMYK, palette, grey, 16-bit (upper 8 bits), transparency (dropped), animations (first
    frame), any size from 1x1.

    Args:
        upright: False leaves an image file as it is stored, whatever EXIF says.

    Raises:
        UnreadableImage: empty, truncated, not an image, too large, or not there.
    """
    if isinstance(source, np.ndarray):
        return Image.fromarray(source)
    with opened(source) as image:
        return _converted(image, upright)


def read_pixels(source: "Source") -> NDArray[np.uint8]:
    """``read_rgb`` as an array (height, width, 3), which may be read-only; pixels are handed on as they are."""
    return source if isinstance(source, np.ndarray) else np.asarray(read_rgb(source))


def read_file(source: Path | bytes) -> bytes:
    """The content of an image file.

    Raises:
        UnreadableImage: it cannot be read.
    """
    if isinstance(source, bytes):
        return source
    try:
        return source.read_bytes()
    except OSError as error:
        raise UnreadableImage(str(error)) from error


@contextmanager
def opened(source: Path | bytes) -> Iterator[Image.Image]:
    """The image file, of which only the head is read so far; any failure in the block is an UnreadableImage."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
                yield image
    except Exception as error:  # decoders of damaged files fail in every way there is
        raise UnreadableImage(" ".join(str(error).split()) or type(error).__name__) from error


def _converted(image: Image.Image, upright: bool) -> Image.Image:
    if image.width * image.height > MOST_PIXELS:
        raise UnreadableImage(f"{image.width} x {image.height} pixels")
    image.load()
    if image.mode == "RGB" and not (upright and "exif" in image.info):
        return image
    turned = ImageOps.exif_transpose(image) if upright else image
    if turned.mode.startswith("I"):
        return Image.fromarray((np.asarray(turned).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8)).convert("RGB")
    return turned.convert("RGB")
