"""Turns, scales and pastes cut-outs in integer arithmetic, so that every machine draws the same pixels."""

import math

import numpy as np
from numpy.typing import NDArray

ONE = 1 << 12
"""1.0 in the fixed-point numbers of this module."""

OPAQUE = 8
"""Gray value above which a pixel of a cut-out belongs to the garment."""


def warp(cutout: NDArray[np.uint8], side: int, degrees: int, flip: bool) -> NDArray[np.int32]:
    """A square gray ``cutout`` turned about its centre and scaled to ``side`` pixels, bilinear; (M, M).

    The result is larger than ``side`` by what the turn needs, and 0 where the cut-out does not reach.
    """
    cell = cutout.shape[0]
    cos, sin = round(math.cos(math.radians(degrees)) * ONE), round(math.sin(math.radians(degrees)) * ONE)
    margin = -(-side * (cos + abs(sin)) // ONE)
    offset = 2 * np.arange(margin, dtype=np.int64) + 1 - margin
    x, y = offset[None, :] * (-1 if flip else 1), offset[:, None]
    # Twice the offset from the centre, turned and scaled into the cell, plus the cell's centre.
    column = (x * cos + y * sin) * cell // (2 * side) + (cell - 1) * ONE // 2
    row = (y * cos - x * sin) * cell // (2 * side) + (cell - 1) * ONE // 2
    return _bilinear(np.pad(cutout, 1).astype(np.int32), row + ONE, column + ONE)


def _bilinear(image: NDArray[np.int32], row: NDArray[np.int64], column: NDArray[np.int64]) -> NDArray[np.int32]:
    top = np.clip(row // ONE, 0, image.shape[0] - 2)
    left = np.clip(column // ONE, 0, image.shape[1] - 2)
    down = np.clip(row - top * ONE, 0, ONE)
    right = np.clip(column - left * ONE, 0, ONE)
    upper = image[top, left] * (ONE - right) + image[top, left + 1] * right
    lower = image[top + 1, left] * (ONE - right) + image[top + 1, left + 1] * right
    blended: NDArray[np.int64] = (upper * (ONE - down) + lower * down) // (ONE * ONE)
    return blended.astype(np.int32)


def trim(gray: NDArray[np.int32]) -> NDArray[np.int32]:
    """The part of ``gray`` that holds the garment."""
    rows = np.flatnonzero((gray > OPAQUE).any(axis=1))
    columns = np.flatnonzero((gray > OPAQUE).any(axis=0))
    return gray[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def shade(gray: NDArray[np.int32], tint: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Colours of a garment, (H, W, 3): 50 + 0.8 of the gray value, times ``tint`` (3 values of at most 256)."""
    light = 50 + gray * 4 // 5
    return (light[:, :, None] * tint // 256).astype(np.uint8)
