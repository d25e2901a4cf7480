"""The published data sets that linear probes read, by the names that tasks call them."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from segmentation.data import check, demo
from segmentation.data.layout import class_names, fingerprint_of_ade20k, loader_values
from segmentation.data.listed import Cityscapes, PascalVoc2012
from segmentation.data.reader import Loaders, SegmentationSet
from transfer.task import Problem

if TYPE_CHECKING:
    from crossmae.data.demo.scenes import SceneSource


class Ade20k(SegmentationSet):
    """``ADEChallengeData2016``, or other data that lies as it does. ``keep_zero``: label 0 is a class, not ignored."""

    def __init__(self, keep_zero: bool = False) -> None:
        self.keep_zero = keep_zero

    def check(self, root: Path) -> Iterable[Problem]:
        """Everything wrong with the data at ``root``."""
        return check.problems(root)

    def departures(self, root: Path) -> Iterable[str]:
        """How the numbers of images differ from the published ones."""
        return check.departures(root)

    def fingerprint(self, root: Path) -> str:
        """Sixteen digits of the classes, and of names and sizes of images and annotations."""
        return fingerprint_of_ade20k(root)

    def loaders(self, root: Path, classes: int) -> Loaders:
        """How mmsegmentation reads the data at ``root``; errors as those of ``check.require_readable``."""
        check.require_readable(root, classes)
        names = class_names(root)
        values = loader_values(root, classes, names, self.keep_zero)
        return Loaders(values, values, names, self.keep_zero)

    def demo(self, root: Path, scenes: "SceneSource") -> None:
        """Writes 400 + 300 scenes with background and four garments."""
        demo.write(root, scenes)


SETS: dict[str, SegmentationSet] = {"ade20k": Ade20k(), "voc2012": PascalVoc2012(), "cityscapes": Cityscapes()}
