"""One rule for every image file: what can be converted is converted, the rest is unreadable."""

import io
import warnings
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, ImageOps

MOST_PIXELS = 178_956_970
"""Images with more are refused unread (Pillow's own bound for a decompression bomb)."""


class UnreadableImage(Exception):  # noqa: N818 - says what the image is
    """A file that holds no image that can be decoded as a whole; the message says why."""


def read_rgb(source: Path | bytes) -> Image.Image:
    """The image as 8-bit RGB, upright.

    Converted: EXIF orientation, CMYK, palette, grey, 16-bit (upper 8 bits), transparency (dropped), animations (first
    frame), any size from 1x1.

    Raises:
        UnreadableImage: empty, truncated, not an image, too large, or not there.
    """
    stream: Path | IO[bytes] = io.BytesIO(source) if isinstance(source, bytes) else source
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(stream) as image:
                return _converted(image)
    except Exception as error:  # decoders of damaged files fail in every way there is
        raise UnreadableImage(" ".join(str(error).split()) or type(error).__name__) from error


def _converted(image: Image.Image) -> Image.Image:
    if image.width * image.height > MOST_PIXELS:
        raise UnreadableImage(f"{image.width} x {image.height} pixels")
    image.load()
    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I"):
        return Image.fromarray((np.asarray(upright).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8)).convert("RGB")
    return upright.convert("RGB")
