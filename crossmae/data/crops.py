"""Random resized crops and flips as a function of uniform numbers, for one image or a whole batch."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_TRIES = 10
NUMBERS = 2 * _TRIES + 3
"""Uniform numbers that the crop and flip of one image use up."""


@dataclass(frozen=True)
class Crops:
    """Boxes in whole pixels and whether to mirror what they hold; every field of shape (N,)."""

    left: Ints
    top: Ints
    width: Ints
    height: Ints
    mirror: NDArray[np.bool_]

    def box(self, place: int) -> tuple[int, int, int, int]:
        """Left and upper edge, width and height of one box."""
        return int(self.left[place]), int(self.top[place]), int(self.width[place]), int(self.height[place])


def random_crops(
    uniform: Floats,
    widths: Ints,
    heights: Ints,
    scale: tuple[float, float],
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
    flip: float = 0.5,
) -> Crops:
    """Boxes distributed as those of torchvision's RandomResizedCrop, mirrored with probability ``flip``.

    Args:
        uniform: (N, NUMBERS) in [0, 1).
        widths, heights: (N,) sizes of the images in pixels.
        scale: range of the crop's share of the image's area.
        ratio: range of the crop's width over its height.
    """
    areas = (widths * heights)[:, None] * (scale[0] + uniform[:, :_TRIES] * (scale[1] - scale[0]))
    spread = math.log(ratio[1] / ratio[0])
    ratios = ratio[0] * np.exp(uniform[:, _TRIES : 2 * _TRIES] * spread)
    tried_widths = np.rint(np.sqrt(areas * ratios)).astype(np.int64)
    tried_heights = np.rint(np.sqrt(areas / ratios)).astype(np.int64)
    fits = (tried_widths > 0) & (tried_widths <= widths[:, None])
    fits &= (tried_heights > 0) & (tried_heights <= heights[:, None])
    first = fits.argmax(axis=1)[:, None]
    fallback_widths, fallback_heights = _central(widths, heights, ratio)
    any_fits = fits.any(axis=1)
    width = np.where(any_fits, np.take_along_axis(tried_widths, first, 1)[:, 0], fallback_widths)
    height = np.where(any_fits, np.take_along_axis(tried_heights, first, 1)[:, 0], fallback_heights)
    place_x = np.where(any_fits, uniform[:, -3], 0.5)
    place_y = np.where(any_fits, uniform[:, -2], 0.5)
    left = np.floor(place_x * (widths - width + 1)).astype(np.int64)
    top = np.floor(place_y * (heights - height + 1)).astype(np.int64)
    return Crops(left, top, width, height, uniform[:, -1] < flip)


def _central(widths: Ints, heights: Ints, ratio: tuple[float, float]) -> tuple[Ints, Ints]:
    """The largest boxes of an allowed shape, for images too narrow for any of the tries."""
    width = np.minimum(widths, np.rint(heights * ratio[1]).astype(np.int64))
    height = np.minimum(heights, np.rint(widths / ratio[0]).astype(np.int64))
    return np.maximum(width, 1), np.maximum(height, 1)
