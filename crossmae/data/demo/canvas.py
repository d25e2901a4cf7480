"""A demo scene under construction, and the finished one."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crossmae.data.demo.brush import SIDE, Brush
from crossmae.data.demo.paste import OPAQUE

_PLACEMENTS = 6


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


class Canvas:
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
            if not self.labels or self._leaves_room(gray > OPAQUE, row, column):
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
        mask = gray > OPAQUE
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
