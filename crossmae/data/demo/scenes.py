"""Demo scenes: garments pasted on textured photographs, with everything a labelled data set needs to know of them.

Real pictures and no noise, so that pretraining has something to learn. Cut-outs and backgrounds of validation are never
in training. Integer arithmetic throughout: the same seed draws the same pixels on every machine.
"""

import hashlib
from collections.abc import Iterator, Sequence
from itertools import accumulate

import numpy as np

from crossmae.data.demo import cutouts
from crossmae.data.demo.brush import SIDE, Brush
from crossmae.data.demo.canvas import Canvas, Scene, SceneObject

__all__ = ["Scene", "SceneObject", "SceneSource"]

_CROWD = 5
"""Garments of a crowd."""


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
            canvas = Canvas(brush.background(photos[background]))
            if crowds and brush.random.random() < crowds:
                _paste_crowd(canvas, brush, brush.pick_weighted(classes, cumulative))
            for _ in range(brush.integer(*objects)):
                label = brush.pick_weighted(classes, cumulative)
                canvas.place(label, *brush.garment(label, brush.side(scale)), brush)
            yield canvas.scene(background)


def _paste_crowd(canvas: Canvas, brush: Brush, label: int) -> None:
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
