"""What demo scenes are made of: embedded garment cut-outs, turned, scaled and coloured, and background photographs.

Integer arithmetic throughout, so that every machine draws the same pixels.
"""

import math
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray
from PIL import Image

CLASS_NAMES = (
    "t-shirt",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)
"""Fashion-MNIST's classes, in the order of its labels."""

BACKGROUND_NAMES = ("brick", "grass", "gravel", "fur", "coffee", "stars", "retina", "sky")

CELL = 28
"""Side of a cut-out in pixels."""

ONE = 1 << 12
"""1.0 in the fixed-point numbers of this module."""

OPAQUE = 8
"""Gray value above which a pixel of a cut-out belongs to the garment."""


@cache
def cutouts(split: str) -> NDArray[np.uint8]:
    """Gray cut-outs of ``split`` ("train" or "val"), (classes, pieces, 28, 28); 0 outside the garment."""
    sheet = _read(f"cutouts_{split}.png")
    rows, columns = sheet.shape[0] // CELL, sheet.shape[1] // CELL
    return sheet.reshape(rows, CELL, columns, CELL).swapaxes(1, 2).copy()


@cache
def backgrounds(split: str) -> tuple[NDArray[np.uint8], ...]:
    """The part of every photograph that belongs to ``split``, (H, W, 3) each, at least 64 pixels wide and high."""
    return tuple(_read(f"background_{name}_{split}.png", "RGB") for name in BACKGROUND_NAMES)


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


def trim(gray: NDArray[np.int32]) -> NDArray[np.int32]:
    """The part of ``gray`` that holds the garment."""
    rows = np.flatnonzero((gray > OPAQUE).any(axis=1))
    columns = np.flatnonzero((gray > OPAQUE).any(axis=0))
    return gray[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def shade(gray: NDArray[np.int32], tint: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Colours of a garment, (H, W, 3): 50 + 0.8 of the gray value, times ``tint`` (3 values of at most 256)."""
    light = 50 + gray * 4 // 5
    return (light[:, :, None] * tint // 256).astype(np.uint8)


def _bilinear(image: NDArray[np.int32], row: NDArray[np.int64], column: NDArray[np.int64]) -> NDArray[np.int32]:
    top = np.clip(row // ONE, 0, image.shape[0] - 2)
    left = np.clip(column // ONE, 0, image.shape[1] - 2)
    down = np.clip(row - top * ONE, 0, ONE)
    right = np.clip(column - left * ONE, 0, ONE)
    upper = image[top, left] * (ONE - right) + image[top, left + 1] * right
    lower = image[top + 1, left] * (ONE - right) + image[top + 1, left + 1] * right
    blended: NDArray[np.int64] = (upper * (ONE - down) + lower * down) // (ONE * ONE)
    return blended.astype(np.int32)


def _read(name: str, mode: str = "L") -> NDArray[np.uint8]:
    with (files("crossmae.data.demo") / "assets" / name).open("rb") as file:
        return np.asarray(Image.open(file).convert(mode))
