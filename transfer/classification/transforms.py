"""Transforms of training and validation images, built by timm."""

import math
import random
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from crossmae.weights.options import IMAGENET_MEAN, IMAGENET_STD, RGB, Interpolation
from transfer.classification.recipe import Augmentation

Transform = Callable[[Image.Image], Tensor]

_BICUBIC = Image.Resampling.BICUBIC
_LOG_ASPECT = math.log(4 / 3)


def training_transform(
    augmentation: Augmentation,
    image_size: int,
    mean: RGB = IMAGENET_MEAN,
    std: RGB = IMAGENET_STD,
    interpolation: Interpolation = "bicubic",
) -> Transform:
    """The transform to (3, image_size, image_size) tensors; draws from the global generators.

    They are 8-bit pixels, a quarter of the bytes on their way to the device, where ``normalize`` does the rest; or
    normalised already, where random erasing fills a part of them with normal noise.

    Args:
        mean, std: of the backbone's normalisation, for pixels in the unit range.
        interpolation: by which crops are resized.
    """
    from timm.data import create_transform

    transform = create_transform(
        image_size,
        is_training=True,
        scale=tuple(augmentation.scale),
        hflip=augmentation.flip,
        color_jitter=None,
        auto_augment=augmentation.rand_augment,
        interpolation=interpolation,
        re_prob=augmentation.random_erasing,
        re_mode="pixel",
        re_count=1,
        normalize=augmentation.random_erasing > 0,
        mean=mean,
        std=std,
    )
    if augmentation.crop == "tensorflow":
        transform.transforms[0] = SingleTryCrop(image_size, augmentation.scale)
    return _checked(transform)


def normalize(images: Tensor, mean: RGB, std: RGB) -> Tensor:
    """Normalises 8-bit pixels (N, 3, H, W) as torchvision's ``ToTensor`` and ``Normalize`` do; others are returned."""
    if images.dtype is not torch.uint8:
        return images
    shift, scale = _statistics(mean, std, images.device)
    return images.float().div_(255).sub_(shift).div_(scale)


@cache
def _statistics(mean: RGB, std: RGB, device: torch.device) -> tuple[Tensor, Tensor]:
    # Kept, so that a GPU's host does not wait for a copy in every step.
    shift, scale = torch.tensor([mean, std], device=device)[:, :, None, None]
    return shift, scale


class SingleTryCrop:
    """The random resized crop of MAE's linear probe: one area and one aspect ratio, drawn once.

    The area is uniform within ``scale`` (a share of the image's), the aspect ratio log-uniform between 3/4 and 4/3. A
    side that does not fit is cut to the image's. Source: released code of MAE (``util/crop.py``), after TensorFlow's.
    """

    def __init__(self, size: int, scale: tuple[float, float]) -> None:
        self.size = size
        self.scale = scale

    def __call__(self, image: Image.Image) -> Image.Image:
        """The crop, (size, size), bicubic; cut out first, so that no pixel from outside it enters."""
        return image.crop(self.box(image.width, image.height)).resize((self.size, self.size), _BICUBIC)

    def box(self, width: int, height: int) -> tuple[int, int, int, int]:
        """Draws (left, top, right, bottom) within an image of ``width`` x ``height`` pixels."""
        area = random.uniform(*self.scale) * width * height
        aspect = math.exp(random.uniform(-_LOG_ASPECT, _LOG_ASPECT))
        side = min(round(math.sqrt(area * aspect)), width), min(round(math.sqrt(area / aspect)), height)
        left, top = random.randint(0, width - side[0]), random.randint(0, height - side[1])
        return left, top, left + side[0], top + side[1]


def evaluation_transform(
    image_size: int,
    crop_pct: float,
    mean: RGB = IMAGENET_MEAN,
    std: RGB = IMAGENET_STD,
    interpolation: Interpolation = "bicubic",
) -> Transform:
    """Resizes the shorter side to ``image_size / crop_pct`` and takes the central crop."""
    from timm.data import create_transform

    return _checked(
        create_transform(
            image_size, is_training=False, interpolation=interpolation, crop_pct=crop_pct, mean=mean, std=std
        )
    )


def _checked(transform: Any) -> Transform:
    def apply(image: Image.Image) -> Tensor:
        tensor = transform(image)
        assert isinstance(tensor, Tensor)
        return tensor

    return apply
