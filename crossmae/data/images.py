"""What images are to everything that reads them, and image files as the plainest kind."""

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from crossmae.data.names import Names

Source = Path | bytes | NDArray[np.uint8]
"""An image: a file, a file's content, or upright pixels (height, width, 3)."""


class Images(Protocol):
    """Images in a fixed order."""

    def __len__(self) -> int: ...

    def name(self, index: int) -> str:
        """What logs call image ``index``: its path."""

    def relative(self, index: int) -> str:
        """Its path below the folder that was opened."""

    def read(self, index: int) -> Source:
        """What ``read_rgb`` takes for image ``index``."""

    def sizes(self) -> Sequence[int]:
        """Bytes of each image."""

    @property
    def fingerprint(self) -> str:
        """Sixteen hex digits of the names and their order, and of what staging did to the images."""

    @property
    def deviations(self) -> tuple[str, ...]:
        """How the images differ from the published ones, for the records."""


class ImageFiles:
    """Image files, named relative to ``root``."""

    deviations: tuple[str, ...] = ()

    def __init__(self, root: Path, names: Iterable[str]) -> None:
        self.root = root
        self._names = Names(names)

    def __len__(self) -> int:
        return len(self._names)

    def name(self, index: int) -> str:
        """Path of image ``index``."""
        return str(self.read(index))

    def relative(self, index: int) -> str:
        """Path below the root."""
        return self._names[index]

    def read(self, index: int) -> Path:
        """Path of image ``index``."""
        return self.root / self._names[index]

    def sizes(self) -> list[int]:
        """Bytes of each file."""
        return [self.read(index).stat().st_size for index in range(len(self))]

    @property
    def fingerprint(self) -> str:
        """Sixteen hex digits of the paths relative to the root and their order."""
        return self._names.fingerprint
