"""Pretraining samples: a random crop of an image and the noise that its mask is drawn from."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from crossmae.data.crops import NUMBERS, Crops, random_crops
from crossmae.data.decode import UnreadableImage, read_pixels, read_rgb
from crossmae.data.images import Images, Source
from crossmae.data.keyed import SampleKey, uniform
from crossmae.data.pictures import BatchResampler, Picture, bicubic_weights, open_picture, resample
from crossmae.errors import UserError

Used = TypeVar("Used")

_AT_ONCE = 32
"""Images that are held open while the boxes of all of them are drawn."""


@dataclass(frozen=True)
class Views:
    """How samples are made of images. Source of the augmentation: CrossMAE Table 10 and released code."""

    image_size: int
    num_patches: int
    seed: int
    crop_scale: tuple[float, float] = (0.2, 1.0)
    flip: float = 0.5

    def crops(self, keys: Sequence[SampleKey], sizes: Sequence[tuple[int, int]]) -> Crops:
        """The crop of each sample, given the (width, height) of its image."""
        widths, heights = np.array(sizes, dtype=np.int64).T
        numbers = uniform(self.seed, keys, "crop", NUMBERS)
        return random_crops(numbers, widths, heights, self.crop_scale, flip=self.flip)

    def noise(self, keys: Sequence[SampleKey]) -> Tensor:
        """(N, num_patches) uniform in [0, 1)."""
        return torch.from_numpy(uniform(self.seed, keys, "mask", self.num_patches)).float()


class Samples(ABC):
    """Samples of ``images`` that are made a batch at a time; one sample is a batch of one."""

    def __init__(self, images: Images, views: Views) -> None:
        self.images, self.views = images, views

    def __len__(self) -> int:
        return len(self.images)

    def name(self, index: int) -> str:
        """Path of an image."""
        return self.images.name(index)

    def __getitem__(self, key: SampleKey) -> dict[str, Any]:
        return self.__getitems__([key])

    @abstractmethod
    def __getitems__(self, keys: Sequence[SampleKey]) -> dict[str, Any]:
        """The batch of ``keys``: ``noise`` (N, L), ``unreadable`` indices, and what becomes the images."""


class ImageSamples(Samples):
    """Reads, crops and resizes images, in the data-loading processes.

    An image that cannot be read is replaced by the next one that can; ``unreadable`` of a batch lists the indices
    that were passed over.

    Args:
        exact: Pillow's pixels, or those of faster libraries, which differ by rounding (see ``docs/data.md``).
        upright: images are turned as their EXIF orientation says.
    """

    def __init__(self, images: Images, views: Views, exact: bool = True, upright: bool = True) -> None:
        super().__init__(images, views)
        self.exact, self.upright = exact, upright

    def __getitems__(self, keys: Sequence[SampleKey]) -> dict[str, Any]:
        """The batch holds ``image`` (N, 3, S, S) uint8."""
        side = self.views.image_size
        batch = torch.empty(len(keys), 3, side, side, dtype=torch.uint8)
        unreadable: list[int] = []
        for start in range(0, len(keys), _AT_ONCE):
            self._fill(batch[start : start + _AT_ONCE], keys[start : start + _AT_ONCE], unreadable)
        return {"image": batch, "noise": self.views.noise(keys), "unreadable": unreadable}

    def _fill(self, batch: Tensor, keys: Sequence[SampleKey], unreadable: list[int]) -> None:
        pictures = [readable(self.images, key.index, self._open, unreadable) for key in keys]
        crops = self.views.crops(keys, [picture.size for picture in pictures])
        for place, picture in enumerate(pictures):
            try:
                batch[place] = self._view(picture, crops, place)
            except UnreadableImage:  # beyond its head
                batch[place] = readable(self.images, keys[place].index, partial(self._alone, keys[place]), unreadable)

    def _open(self, source: Source) -> Picture:
        return open_picture(source, self.exact, self.upright)

    def _alone(self, key: SampleKey, source: Source) -> Tensor:
        picture = self._open(source)
        return self._view(picture, self.views.crops([key], [picture.size]), 0)

    def _view(self, picture: Picture, crops: Crops, place: int) -> Tensor:
        view = picture.view(crops.box(place), self.views.image_size)
        return view.flip(-1) if crops.mirror[place] else view


def readable(images: Images, index: int, use: Callable[[Source], Used], unreadable: list[int]) -> Used:
    """``use`` of image ``index``, or of the next one that can be read; those before it are added to ``unreadable``.

    Raises:
        UserError: there is none.
    """
    for candidate in range(index, index + len(images)):
        try:
            return use(images.read(candidate % len(images)))
        except UnreadableImage:
            unreadable.append(candidate % len(images))
    raise UserError(f"none of the {len(images)} images can be read", "look at them with crossmae check-data")


class BoxSamples(Samples):
    """The boxes of a micro-batch, in the corners of canvases of one size; ``make_views`` makes images of them.

    The host cuts the boxes out of images that are pixels already (a ``raw`` cache), which is a copy of memory; the
    device resizes, mirrors and normalises a batch at a time. The samples are those of ``ImageSamples``, but for the
    rounding to 8 bits.
    """

    def __getitems__(self, keys: Sequence[SampleKey]) -> dict[str, Any]:
        """The batch holds ``canvas`` (N, H, W, 3) uint8 and ``box`` (N, 3): height, width, whether to mirror."""
        unreadable: list[int] = []
        pixels = [readable(self.images, key.index, read_pixels, unreadable) for key in keys]
        crops = self.views.crops(keys, [(image.shape[1], image.shape[0]) for image in pixels])
        canvas = np.empty((len(keys), int(crops.height.max()), int(crops.width.max()), 3), np.uint8)
        for place, image in enumerate(pixels):
            left, top, width, height = crops.box(place)
            canvas[place, :height, :width] = image[top : top + height, left : left + width]
        box = np.stack([crops.height, crops.width, crops.mirror], axis=1)
        return {
            "canvas": torch.from_numpy(canvas),
            "box": torch.from_numpy(box),
            "noise": self.views.noise(keys),
            "unreadable": unreadable,
        }


class MemorySamples(Samples):
    """Small images of one size, decoded once and kept in memory; crops whole batches at a time.

    Gives the samples that ``ImageSamples`` gives, but for the rounding to 8 bits after resizing.

    Raises:
        UserError: an image cannot be read, or they are not all squares of one size of at most 96 pixels.
    """

    def __init__(self, images: Images, views: Views, upright: bool = True) -> None:
        super().__init__(images, views)
        first = _decode(images, 0, upright)
        side = first.shape[-1]
        if first.shape[-2] != side or side > BatchResampler.MOST:
            raise UserError(
                f"only squares of at most {BatchResampler.MOST} pixels fit in memory", "set in_memory=false"
            )
        self.pixels = torch.empty(len(images), *first.shape, dtype=torch.uint8)
        for index in range(len(images)):
            image = _decode(images, index, upright)
            if image.shape != first.shape:
                sizes = f"{image.shape[-1]} x {image.shape[-2]} pixels and {images.name(0)} {side} x {side}"
                raise UserError(f"{images.name(index)} has {sizes}", "set in_memory=false")
            self.pixels[index] = image
        self.resample = BatchResampler(side, views.image_size)

    def __getitems__(self, keys: Sequence[SampleKey]) -> dict[str, Any]:
        """The batch holds ``image`` (N, 3, S, S) float32, 0 to 255."""
        images = self.pixels[[key.index for key in keys]]
        side = self.pixels.shape[-1]
        crops = self.views.crops(keys, [(side, side)] * len(keys))
        return {"image": self.resample(images, crops), "noise": self.views.noise(keys), "unreadable": []}


@torch.no_grad()
def make_views(canvas: Tensor, box: Tensor, size: int) -> Tensor:
    """Resizes (bicubic, antialiased, as Pillow and torchvision do) and mirrors.

    Args:
        canvas, box: of ``BoxSamples``, on any device.
        size: side of the views in pixels.

    Returns:
        (N, 3, size, size) float32, 0 to 255, within 1 of torchvision's on 8-bit images.
    """
    heights, widths, mirror = box.unbind(1)
    starts = torch.zeros_like(heights)
    rows = bicubic_weights(starts, heights, canvas.shape[1], size)
    columns = bicubic_weights(starts, widths, canvas.shape[2], size)
    columns = torch.where(mirror[:, None, None] > 0, columns.flip(1), columns)
    with torch.autocast(canvas.device.type, enabled=False):
        return resample(canvas.permute(0, 3, 1, 2).float(), rows, columns)


def _decode(images: Images, index: int, upright: bool) -> Tensor:
    try:
        return torch.from_numpy(np.array(read_rgb(images.read(index), upright))).permute(2, 0, 1)
    except UnreadableImage as error:
        raise UserError(f"{images.name(index)} cannot be read ({error})", "remove it or set in_memory=false") from error
