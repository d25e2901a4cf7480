"""The contract of a published data set with a label for every pixel, which linear probes read."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transfer.task import Problem

if TYPE_CHECKING:
    from crossmae.data.demo.scenes import SceneSource


@dataclass(frozen=True)
class Loaders:
    """What mmsegmentation's data sets of both splits are given."""

    training: dict[str, Any]
    validation: dict[str, Any]
    names: tuple[str, ...]
    """Of the classes by label; empty where mmsegmentation knows them."""
    keep_zero: bool
    """Label 0 is the first class, and not ignored."""


class SegmentationSet(ABC):
    """A data set on disk in the layout of its publisher."""

    @abstractmethod
    def check(self, root: Path) -> Iterable[Problem]:
        """Everything wrong with the data at ``root``."""

    @abstractmethod
    def departures(self, root: Path) -> Iterable[str]:
        """How the numbers of images differ from the published ones, unless we wrote the data."""

    @abstractmethod
    def fingerprint(self, root: Path) -> str:
        """Sixteen digits of the classes, and of names and sizes of images and annotations."""

    @abstractmethod
    def loaders(self, root: Path, classes: int) -> Loaders:
        """How mmsegmentation reads the data at ``root``.

        Raises:
            UserError: it is not of ``classes`` classes, or files are unusable.
        """

    @abstractmethod
    def demo(self, root: Path, scenes: "SceneSource") -> None:
        """Writes demo data in the layout; ``root`` does not exist before."""
