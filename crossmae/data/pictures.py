"""Boxes of images as tensors: of one that is opened but not yet decoded, or of a whole batch of decoded ones.

What a crop of an opened image does not need is never computed. A batch is cut and resized by two matrix products, equal
to Pillow's bicubic filter.
"""

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import ExifTags, Image
from torch import Tensor
from torch.nn.functional import interpolate
from torchvision.io import ImageReadMode, decode_jpeg

from crossmae.data.crops import Crops
from crossmae.data.decode import UnreadableImage, opened, read_file, read_rgb
from crossmae.data.images import Source

Box = tuple[int, int, int, int]
"""Left and upper edge, width and height in pixels."""


class Picture(Protocol):
    """One image."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels, as the image lies in ``view``."""

    def view(self, box: Box, side: int) -> Tensor:
        """What ``box`` holds, resized (bicubic, antialiased): (3, side, side) uint8.

        Raises:
            UnreadableImage: the image cannot be decoded.
        """


class PillowPicture:
    """Decoded and resized by Pillow, as torchvision's transforms do it."""

    def __init__(self, source: Source, upright: bool = True) -> None:
        self._image = read_rgb(source, upright)
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
    """A JPEG of three or one components, not to be turned: decoded by libjpeg-turbo, no larger than a view needs."""

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


def open_picture(source: Source, exact: bool, upright: bool = True) -> Picture:
    """The image ``source``.

    Args:
        exact: Pillow's pixels; otherwise those of faster decoders and filters, which differ by rounding.
        upright: turned as its EXIF orientation says; otherwise as it is stored, as in the released code.

    Raises:
        UnreadableImage: it cannot be read.
    """
    if exact:
        return PillowPicture(source, upright)
    if isinstance(source, np.ndarray):
        return Pixels(source)
    content = read_file(source)
    with opened(content) as image:
        turned = upright and "exif" in image.info and image.getexif().get(ExifTags.Base.Orientation, 1) != 1
        plain = image.format == "JPEG" and image.mode in ("RGB", "L") and not turned
        size = image.size
    return JpegPicture(content, size) if plain else Pixels(np.asarray(read_rgb(content, upright)))


class BatchResampler:
    """Cuts boxes out of square images and resizes them; the weights of all possible boxes are computed once.

    Args:
        source: side of the images in pixels; at most ``MOST``, as the weights grow with its cube.
        target: side of the results in pixels.
    """

    MOST = 96

    def __init__(self, source: int, target: int) -> None:
        lengths = torch.arange(1, source + 1)
        self._first = torch.cumsum(source - lengths + 1, 0) - (source - lengths + 1)
        boxes = [(start, int(length)) for length in lengths for start in range(source - int(length) + 1)]
        starts, sizes = torch.tensor(boxes).T
        self._weights = bicubic_weights(starts, sizes, source, target)

    def __call__(self, images: Tensor, crops: Crops) -> Tensor:
        """Args: images (N, 3, side, side) uint8. Returns: (N, 3, target, target) float32, 0 to 255."""
        rows = self._of(crops.top, crops.height)
        columns = self._of(crops.left, crops.width)
        mirror = torch.from_numpy(crops.mirror)
        columns[mirror] = columns[mirror].flip(1)
        return resample(images.float(), rows, columns)

    def _of(self, starts: object, lengths: object) -> Tensor:
        return self._weights[self._first[torch.as_tensor(lengths) - 1] + torch.as_tensor(starts)]


def resample(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Resizes in both directions.

    Args:
        images: (N, C, H, W) float32, 0 to 255.
        rows: weights (N, T, H); columns: weights (N, T, W).

    Returns:
        (N, C, T, T) float32, 0 to 255.
    """
    count, channels, height, width = images.shape
    narrow = torch.bmm(images.reshape(count, channels * height, width), columns.mT)
    # Pillow clips after each direction (in an order that it chooses by the sizes): its intermediate has 8 bits.
    narrow = narrow.clamp_(0, 255).view(count, channels, height, -1)
    return torch.matmul(rows[:, None], narrow).clamp_(0, 255)


def bicubic_weights(starts: Tensor, lengths: Tensor, source: int, target: int) -> Tensor:
    """Weights (n, target, source) that resize each interval of ``source`` pixels to ``target`` pixels.

    Pillow's filter: Keys' cubic with a = -0.5, widened by the scale when shrinking (antialias), normalised over the
    interval's own pixels.
    """
    scale = lengths[:, None, None] / target
    centres = (torch.arange(target, device=starts.device)[None, :, None] + 0.5) * scale
    pixels = torch.arange(source, device=starts.device)[None, None, :] - starts[:, None, None]
    inside = (pixels >= 0) & (pixels < lengths[:, None, None])
    weights = _cubic((pixels + 0.5 - centres) / scale.clamp(min=1)) * inside
    return weights / weights.sum(-1, keepdim=True)


def _resized(pixels: Tensor, side: int) -> Tensor:
    return interpolate(pixels[None], size=(side, side), mode="bicubic", antialias=True)[0]


def _cubic(x: Tensor, a: float = -0.5) -> Tensor:
    x = x.abs()
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((x - 5) * x + 8) * x * a - 4 * a
    return torch.where(x < 1, near, torch.where(x < 2, far, torch.zeros_like(x)))
