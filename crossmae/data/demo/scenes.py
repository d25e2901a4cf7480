"""Demo scenes: garments pasted on textured photographs, with everything a labelled data set needs to know of them.

Real pictures and no noise, so that pretraining has something to learn. Cut-outs and backgrounds of validation are never
in training. Integer arithmetic throughout: the same seed draws the same pixels on every machine.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from crossmae.data.demo import cutouts
from crossmae.data.demo.brush import SIDE, Brush

_CROWD = 5
"""Garments of a crowd."""
_PLACEMENTS = 6
"""Places that are tried for a garment."""


@dataclass(frozen=True)
class SceneObject:
    """One garment, or one crowd of small garments of a class.

    ``label`` is Fashion-MNIST's, 0 to 9; ``mask`` (H, W) bool marks its visible pixels; ``box`` is x0, y0, x1, y1 of
    them in pixels, the last two exclusive.
    """

    label: int
    mask: NDArray[np.bool_]
    box: tuple[float, float, float, float]
    crowd: bool


@dataclass(frozen=True)
class Scene:
    """``image`` (64, 64, 3) uint8 RGB, ``background`` an index into ``background_names``, objects back to front."""

    image: NDArray[np.uint8]
    background: int
    objects: tuple[SceneObject, ...]


class SceneSource:
    """An endless supply of scenes, the same in every run for the same seed."""

    class_names = cutouts.CLASS_NAMES
    background_names = cutouts.BACKGROUND_NAMES

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def draw(
        self,
        name: str,
        split: str,
        count: int,
        classes: Sequence[int] = range(10),
        objects: tuple[int, int] = (1, 3),
        scale: tuple[float, float] = (0.4, 0.7),
        class_weights: Sequence[float] | None = None,
        backgrounds: Sequence[int] | None = None,
        crowds: float = 0.0,
    ) -> Iterator[Scene]:
        """Draws ``count`` scenes for the data set ``name``, a function of seed, name, split and the arguments alone.

        Args:
            name: what the scenes are for; two names share no random numbers.
            split: "train" and "unlabelled" use the training pictures, "val" the validation pictures.
            classes: labels to draw from, with probabilities in proportion to ``class_weights`` (default: equal).
            objects: least and greatest number of objects. One that finds no room is left out, the first never is.
            scale: least and greatest side of a cut-out's cell, as a share of the image's side.
            backgrounds: indices to draw from (default: all).
            crowds: probability that a scene begins with one crowd of small garments.
        """
        pictures = "val" if split == "val" else "train"
        brush = Brush(cutouts.cutouts(pictures), _generator(self.seed, name, split))
        photos = cutouts.backgrounds(pictures)
        choices = tuple(range(len(photos))) if backgrounds is None else tuple(backgrounds)
        cumulative = list(accumulate(class_weights or [1] * len(classes)))
        for _ in range(count):
            background = brush.pick(choices)
            canvas = _Canvas(brush.background(photos[background]))
            if crowds and brush.random.random() < crowds:
                _paste_crowd(canvas, brush, brush.pick_weighted(classes, cumulative))
            for _ in range(brush.integer(*objects)):
                label = brush.pick_weighted(classes, cumulative)
                canvas.place(label, *brush.garment(label, brush.side(scale)), brush)
            yield canvas.scene(background)


class _Canvas:
    """An image under construction, and who owns which of its pixels."""

    def __init__(self, image: NDArray[np.uint8]) -> None:
        self.image = image
        self.owner = np.full(image.shape[:2], -1, np.int16)
        self.labels: list[int] = []
        self.crowd = False
        self.sizes: list[int] = []

    def place(self, label: int, gray: NDArray[np.int32], colour: NDArray[np.uint8], brush: Brush) -> None:
        """Pastes where every earlier object keeps at least half of its pixels, if such a place is found."""
        for _ in range(_PLACEMENTS):
            row, column = (brush.integer(0, SIDE - size) for size in gray.shape)
            if not self.labels or self._leaves_room(gray > cutouts.OPAQUE, row, column):
                return self.paint(label, gray, colour, row, column)
        return None

    def _leaves_room(self, mask: NDArray[np.bool_], row: int, column: int) -> bool:
        window = self.owner[row : row + mask.shape[0], column : column + mask.shape[1]]
        hidden = np.bincount(window[mask] + 1, minlength=len(self.sizes) + 1)[1:]
        visible = np.bincount(self.owner.ravel() + 1, minlength=len(self.sizes) + 1)[1:]
        return all(2 * (have - lose) >= size for have, lose, size in zip(visible, hidden, self.sizes, strict=True))

    def paint(
        self, label: int, gray: NDArray[np.int32], colour: NDArray[np.uint8], row: int, column: int, crowd: bool = False
    ) -> None:
        """Pastes at (row, column). The garments of a crowd are one object."""
        mask = gray > cutouts.OPAQUE
        if not (crowd and self.crowd):
            self.labels.append(label)
            self.sizes.append(0)
        self.crowd = self.crowd or crowd
        window = (slice(row, row + mask.shape[0]), slice(column, column + mask.shape[1]))
        self.image[window][mask] = colour[mask]
        self.owner[window][mask] = len(self.labels) - 1
        self.sizes[-1] = int((self.owner == len(self.labels) - 1).sum())

    def scene(self, background: int) -> Scene:
        """The finished scene."""
        objects = tuple(self._object(i, label) for i, label in enumerate(self.labels))
        return Scene(self.image, background, objects)

    def _object(self, index: int, label: int) -> SceneObject:
        mask = self.owner == index
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        box = (float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1))
        return SceneObject(label, mask, box, crowd=self.crowd and index == 0)


def _paste_crowd(canvas: _Canvas, brush: Brush, label: int) -> None:
    top, left = brush.integer(0, SIDE // 2), brush.integer(0, SIDE // 2)
    for _ in range(_CROWD):
        gray, colour = brush.garment(label, brush.side((0.2, 0.28)))
        row, column = (
            start + brush.integer(0, SIDE // 2 - size) for start, size in zip((top, left), gray.shape, strict=True)
        )
        canvas.paint(label, gray, colour, row, column, crowd=True)


def _generator(seed: int, name: str, split: str) -> np.random.Generator:
    digest = hashlib.sha256(f"{seed}/{name}/{split}".encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "little")))
