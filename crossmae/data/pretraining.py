"""Pretraining samples: a random crop of an image and the noise that its mask is drawn from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from crossmae.data.crops import NUMBERS, Crops, random_crops
from crossmae.data.decode import UnreadableImage, read_rgb
from crossmae.data.images import Images
from crossmae.data.keyed import SampleKey, uniform
from crossmae.data.resample import BatchResampler
from crossmae.errors import UserError


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


class ImageSamples:
    """Reads, crops and resizes one image at a time, in the data-loading processes.

    An image that cannot be read is replaced by the next one that can; ``unreadable`` of a sample lists the indices
    that were passed over.
    """

    def __init__(self, images: Images, views: Views) -> None:
        self.images, self.views = images, views

    def __len__(self) -> int:
        return len(self.images)

    def name(self, index: int) -> str:
        """Path of an image."""
        return self.images.name(index)

    def __getitem__(self, key: SampleKey) -> dict[str, Any]:
        image, unreadable = self._readable(key.index)
        crops = self.views.crops([key], [image.size])
        return {
            "image": _cut(image, crops, self.views.image_size),
            "noise": self.views.noise([key])[0],
            "unreadable": unreadable,
        }

    def _readable(self, index: int) -> tuple[Image.Image, list[int]]:
        unreadable: list[int] = []
        for candidate in range(index, index + len(self)):
            try:
                return read_rgb(self.images.read(candidate % len(self))), unreadable
            except UnreadableImage:
                unreadable.append(candidate % len(self))
        raise UserError(f"none of the {len(self)} images can be read; look at them with crossmae check-data")


def collate(samples: list[dict[str, Any]]) -> dict[str, Any]:
    """One batch of ``ImageSamples``: ``image`` (N, 3, S, S) uint8, ``noise`` (N, L), ``unreadable`` indices."""
    return {
        "image": torch.stack([sample["image"] for sample in samples]),
        "noise": torch.stack([sample["noise"] for sample in samples]),
        "unreadable": [index for sample in samples for index in sample["unreadable"]],
    }


def _cut(image: Image.Image, crops: Crops, size: int) -> Tensor:
    left, top, width, height = (int(side[0]) for side in (crops.left, crops.top, crops.width, crops.height))
    # Cut first: the filter must not see pixels outside the crop.
    view = image.crop((left, top, left + width, top + height)).resize((size, size), Image.Resampling.BICUBIC)
    if crops.mirror[0]:
        view = view.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return torch.from_numpy(np.array(view)).permute(2, 0, 1).contiguous()


class MemorySamples:
    """Small images of one size, decoded once and kept in memory; crops whole batches at a time.

    Gives the samples that ``ImageSamples`` gives, but for the rounding to 8 bits after resizing.

    Raises:
        UserError: an image cannot be read, or they are not all squares of one size of at most 96 pixels.
    """

    def __init__(self, images: Images, views: Views) -> None:
        self.images, self.views = images, views
        self.pixels = torch.stack([_decode(images, index) for index in range(len(images))])
        side = self.pixels.shape[-1]
        if self.pixels.shape[-2] != side or side > BatchResampler.MOST:
            raise UserError(f"only squares of at most {BatchResampler.MOST} pixels fit in memory; set in_memory=false")
        self.resample = BatchResampler(side, views.image_size)

    def __len__(self) -> int:
        return len(self.images)

    def name(self, index: int) -> str:
        """Path of an image."""
        return self.images.name(index)

    def __getitem__(self, key: SampleKey) -> dict[str, Any]:
        return self.__getitems__([key])

    def __getitems__(self, keys: Sequence[SampleKey]) -> dict[str, Any]:
        """The batch of ``keys``, as ``collate`` makes it."""
        images = self.pixels[[key.index for key in keys]]
        side = self.pixels.shape[-1]
        crops = self.views.crops(keys, [(side, side)] * len(keys))
        return {"image": self.resample(images, crops), "noise": self.views.noise(keys), "unreadable": []}


def _decode(images: Images, index: int) -> Tensor:
    try:
        return torch.from_numpy(np.array(read_rgb(images.read(index)))).permute(2, 0, 1)
    except UnreadableImage as error:
        raise UserError(f"{images.name(index)} cannot be read ({error}); remove it or set in_memory=false") from error
