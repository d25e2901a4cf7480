"""The random draws of demo scenes: backgrounds, garments, places."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from crossmae.data.demo.cutouts import shade, trim, warp

SIDE = 64
"""Width and height of a scene in pixels."""

MAX_TURN = 15
"""Degrees by which a cut-out may be turned to either side."""


class Brush:
    """Random draws, made of 64-bit uniform numbers alone: their stream is fixed for all versions of NumPy."""

    def __init__(self, pieces: NDArray[np.uint8], random: np.random.Generator) -> None:
        self.pieces = pieces
        self.random = random

    def integer(self, least: int, greatest: int) -> int:
        return least + int(self.random.random() * (greatest - least + 1))

    def pick(self, choices: Sequence[int]) -> int:
        return choices[self.integer(0, len(choices) - 1)]

    def pick_weighted(self, choices: Sequence[int], cumulative: Sequence[float]) -> int:
        value = self.random.random() * cumulative[-1]
        return choices[next(i for i, limit in enumerate(cumulative) if value < limit)]

    def side(self, scale: tuple[float, float]) -> int:
        return self.integer(round(scale[0] * SIDE), round(scale[1] * SIDE))

    def channels(self, least: float, greatest: float) -> NDArray[np.int64]:
        return np.array([self.integer(round(least * 256), round(greatest * 256)) for _ in range(3)])

    def background(self, photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A crop of ``photo``, mirrored half of the time, every channel darkened to 0.3 to 0.8."""
        row, column = self.integer(0, photo.shape[0] - SIDE), self.integer(0, photo.shape[1] - SIDE)
        crop = photo[row : row + SIDE, column : column + SIDE]
        crop = crop[:, ::-1] if self.random.random() < 0.5 else crop
        return (crop * self.channels(0.3, 0.8) // 256).astype(np.uint8)

    def garment(self, label: int, side: int) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
        """Gray values (H, W) and colours (H, W, 3) of a turned, tinted cut-out of class ``label``."""
        piece = self.pieces[label, self.integer(0, self.pieces.shape[1] - 1)]
        turn, flip = self.integer(-MAX_TURN, MAX_TURN), self.random.random() < 0.5
        gray = trim(warp(piece, side, turn, flip))[:SIDE, :SIDE]
        return gray, shade(gray, self.channels(0.45, 1.0))
