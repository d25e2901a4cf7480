"""Transforms of training and validation images, built by timm."""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from PIL import Image
from torch import Tensor

Transform = Callable[[Image.Image], Tensor]

_BICUBIC = Image.Resampling.BICUBIC
_LOG_ASPECT = math.log(4 / 3)


@dataclass(frozen=True)
class Augmentation:
    """What happens to a training image; the defaults are the released fine-tuning's."""

    scale: tuple[float, float] = (0.08, 1.0)
    """Area of the random crop, as a share of the image's."""
    crop: str = "torchvision"
    """``torchvision``, or ``tensorflow``: one try only, as MAE's linear probe has it."""
    flip: float = 0.5
    rand_augment: str | None = "rand-m9-mstd0.5-inc1"
    """timm's name of a RandAugment policy; None for none."""
    random_erasing: float = 0.25
    """Probability of erasing one rectangle, filled with noise."""

    def build(self, image_size: int) -> Transform:
        """The transform to normalised (3, image_size, image_size) tensors; draws from the global generators."""
        from timm.data import create_transform

        transform = create_transform(
            image_size,
            is_training=True,
            scale=tuple(self.scale),
            hflip=self.flip,
            color_jitter=None,
            auto_augment=self.rand_augment,
            interpolation="bicubic",
            re_prob=self.random_erasing,
            re_mode="pixel",
            re_count=1,
        )
        if self.crop == "tensorflow":
            transform.transforms[0] = SingleTryCrop(image_size, self.scale)
        return _checked(transform)


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


def evaluation_transform(image_size: int, crop_pct: float) -> Transform:
    """Resizes the shorter side to ``image_size / crop_pct`` and takes the central crop."""
    from timm.data import create_transform

    return _checked(create_transform(image_size, is_training=False, interpolation="bicubic", crop_pct=crop_pct))


def _checked(transform: Any) -> Transform:
    def apply(image: Image.Image) -> Tensor:
        tensor = transform(image)
        assert isinstance(tensor, Tensor)
        return tensor

    return apply
