"""One rule for every image file: what can be converted is converted, the rest is unreadable."""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from crossmae.files import open_regular

if TYPE_CHECKING:
    from crossmae.data.images import Source

MOST_PIXELS = 178_956_970
"""Images with more are refused unread (Pillow's own bound for a decompression bomb)."""
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
"""All that is decoded, whatever a file is called: others start programs (EPS: Ghostscript) or are rarely used code."""


def allow_known_formats_only() -> None:
    """From now on Pillow opens images of ``FORMATS`` only in this process, also where an engine calls it."""
    Image.init()
    Image.ID[:] = [name for name in Image.ID if name in FORMATS]


class UnreadableImage(Exception):  # noqa: N818 - says what the image is
    """A file that holds no image that can be decoded as a whole; the message says why."""


def read_rgb(source: "Source", upright: bool = True) -> Image.Image:
    """The image as 8-bit RGB.

    Converted: EXIF orientation, CMYK, palette, grey, 16-bit (upper 8 bits), transparency (dropped), animations (first
    frame), any size from 1x1. Refused: floating-point and 32-bit pixels, of which no file says what is white.

    Args:
        upright: False leaves an image file as it is stored, whatever EXIF says.

    Raises:
        UnreadableImage: empty, truncated, no image of ``FORMATS``, too large, no regular file, or not there.
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
        with open_regular(source) as file:
            return file.read()
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        raise UnreadableImage(str(error)) from error


@contextmanager
def opened(source: Path | bytes) -> Iterator[Image.Image]:
    """The image file, of which only the head is read so far; any failure in the block is an UnreadableImage."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            file = io.BytesIO(source) if isinstance(source, bytes) else open_regular(source)
            with file, Image.open(file, formats=FORMATS) as image:
                if image.width * image.height > MOST_PIXELS:
                    raise UnreadableImage(f"{image.width} x {image.height} pixels")
                yield image
    except UnreadableImage:
        raise
    except UnidentifiedImageError as error:
        raise UnreadableImage(f"none of {', '.join(FORMATS)}") from error
    except Exception as error:  # decoders of damaged files fail in every way there is
        raise UnreadableImage(" ".join(str(error).split()) or type(error).__name__) from error


def _converted(image: Image.Image, upright: bool) -> Image.Image:
    image.load()
    # Portable greymaps become 16-bit values in mode I; a TIFF's are 32 bits of any range.
    if image.mode == "F" or (image.mode == "I" and image.format == "TIFF"):
        raise UnreadableImage("pixels of 32 bits, of which nothing says what is white; convert it to 8 or 16 bits")
    if image.mode == "RGB" and not (upright and "exif" in image.info):
        return image
    turned = ImageOps.exif_transpose(image) if upright else image
    if turned.mode.startswith("I"):
        return Image.fromarray((np.asarray(turned).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8)).convert("RGB")
    return turned.convert("RGB")
