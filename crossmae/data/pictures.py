"""Images that are opened but not yet decoded: what a crop does not need is then never computed."""

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import ExifTags, Image
from torch import Tensor
from torch.nn.functional import interpolate
from torchvision.io import ImageReadMode, decode_jpeg

from crossmae.data.decode import UnreadableImage, opened, read_file, read_rgb
from crossmae.data.images import Source

Box = tuple[int, int, int, int]
"""Left and upper edge, width and height in pixels."""


class Picture(Protocol):
    """One image."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels, upright."""

    def view(self, box: Box, side: int) -> Tensor:
        """What ``box`` holds, resized (bicubic, antialiased): (3, side, side) uint8.

        Raises:
            UnreadableImage: the image cannot be decoded.
        """


class PillowPicture:
    """Decoded and resized by Pillow, as torchvision's transforms do it."""

    def __init__(self, source: Source) -> None:
        self._image = read_rgb(source)
        self.size = self._image.size

    def view(self, box: Box, side: int) -> Tensor:
        left, top, width, height = box
        # Cut first: the filter must not see pixels outside the crop.
        cut = self._image.crop((left, top, left + width, top + height))
        view = cut.resize((side, side), Image.Resampling.BICUBIC)
        return torch.from_numpy(np.array(view)).permute(2, 0, 1)


class Pixels:
    """Decoded pixels (height, width, 3), resized by torch."""

    def __init__(self, pixels: NDArray[np.uint8]) -> None:
        self._pixels = pixels
        self.size = pixels.shape[1], pixels.shape[0]

    def view(self, box: Box, side: int) -> Tensor:
        left, top, width, height = box
        # A copy: what a cache holds must not be written to.
        cut = torch.from_numpy(np.array(self._pixels[top : top + height, left : left + width]))
        return _resized(cut.permute(2, 0, 1), side)


class JpegPicture:
    """A JPEG of three or one components that lies upright: decoded by libjpeg-turbo, no larger than a view needs."""

    def __init__(self, content: bytes, size: tuple[int, int]) -> None:
        self._content = content
        self.size = size

    def view(self, box: Box, side: int) -> Tensor:
        left, top, width, height = box
        shrink = max(factor for factor in (1, 2, 4, 8) if factor == 1 or min(width, height) >= factor * side)
        if shrink > 1:
            return self._from_shrunk(box, shrink, side)
        try:
            content = torch.from_numpy(np.frombuffer(bytearray(self._content), np.uint8))
            pixels = decode_jpeg(content, mode=ImageReadMode.RGB)
        except RuntimeError as error:
            raise UnreadableImage(" ".join(str(error).split())) from error
        return _resized(pixels[:, top : top + height, left : left + width], side)

    def _from_shrunk(self, box: Box, shrink: int, side: int) -> Tensor:
        left, top, width, height = (edge / shrink for edge in box)
        with opened(self._content) as image:
            image.draft("RGB", (self.size[0] // shrink, self.size[1] // shrink))
            view = image.convert("RGB").resize(
                (side, side), Image.Resampling.BICUBIC, box=(left, top, left + width, top + height)
            )
        return torch.from_numpy(np.array(view)).permute(2, 0, 1)


def open_picture(source: Source, exact: bool) -> Picture:
    """The image ``source``.

    Args:
        exact: Pillow's pixels; otherwise those of faster decoders and filters, which differ by rounding.

    Raises:
        UnreadableImage: it cannot be read.
    """
    if exact:
        return PillowPicture(source)
    if isinstance(source, np.ndarray):
        return Pixels(source)
    content = read_file(source)
    with opened(content) as image:
        turned = "exif" in image.info and image.getexif().get(ExifTags.Base.Orientation, 1) != 1
        plain = image.format == "JPEG" and image.mode in ("RGB", "L") and not turned
        size = image.size
    return JpegPicture(content, size) if plain else Pixels(np.asarray(read_rgb(content)))


def _resized(pixels: Tensor, side: int) -> Tensor:
    return interpolate(pixels[None], size=(side, side), mode="bicubic", antialias=True)[0]
