"""The embedded pictures that demo scenes are made of: garment cut-outs and background photographs."""

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


def _read(name: str, mode: str = "L") -> NDArray[np.uint8]:
    with (files("crossmae.data.demo") / "assets" / name).open("rb") as file:
        return np.asarray(Image.open(file).convert(mode))
