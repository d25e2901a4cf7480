"""Pascal VOC 2012 and Cityscapes as they unpack: images and annotations, by one name each, in folders of their own."""

import re
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from crossmae.data.images import described_files, fingerprint_of, is_generated
from crossmae.data.published import files_below
from crossmae.errors import UserError, one_line
from crossmae.files import read_regular
from segmentation.data.check import content, some
from segmentation.data.reader import Loaders, SegmentationSet
from transfer.task import Problem

if TYPE_CHECKING:
    from crossmae.data.demo.scenes import SceneSource

CLASSES = "classes.txt"
"""In generated data, the names of its classes, one a line; the published sets' are mmsegmentation's."""

Pairs = dict[str, tuple[Path, Path]]
"""Image and annotation by name."""


class ListedSet(SegmentationSet):
    """A data set whose label 0 is a class and whose label 255 is ignored."""

    title: str
    classes: int
    counts: ClassVar[Mapping[str, int]]
    """Published numbers of images: training first, then validation."""
    folders: tuple[str, ...]
    """What lies at its root."""
    inner: str
    """The folder that its archive unpacks to, if the root is not that itself."""
    no_annotation: str
    """What to do about missing annotations, or such of another kind."""

    @abstractmethod
    def names(self, root: Path, split: str) -> list[str]:
        """Names of the images of ``split``.

        Raises:
            UserError: they cannot be listed.
        """

    @abstractmethod
    def place(self, root: Path, split: str, name: str) -> tuple[Path, Path]:
        """Where an image and its annotation lie."""

    @abstractmethod
    def values(self, root: Path, split: str) -> dict[str, Any]:
        """What mmsegmentation's own data set is given for ``split``."""

    @abstractmethod
    def write_names(self, root: Path, split: str, count: int) -> list[str]:
        """Makes names of ``count`` demo images, and the list of them if there is one."""

    def check(self, root: Path) -> Iterator[Problem]:
        """Finds missing or unreadable files, and annotations that are not the data set's."""
        if any(not (root / folder).is_dir() for folder in self.folders):
            yield self._wrong_layout(root)
            return
        classes = self._number_of_classes(root)
        for split in self.counts:
            try:
                pairs = self._pairs(root, split)
            except UserError as error:
                yield Problem(error.what, error.remedy)
                continue
            faults = [*self._faults(split, pairs)]
            yield from faults
            if not faults:
                yield from content(pairs, classes, classes - 1, self.no_annotation, self.no_annotation)

    def departures(self, root: Path) -> Iterator[str]:
        """How the numbers of images differ from the published ones, unless we wrote the data."""
        if is_generated(root):
            return
        for split, expected in self.counts.items():
            if (count := len(self.names(root, split))) != expected:
                yield f"{count:,} {split} images ({self.title}: {expected:,})"

    def fingerprint(self, root: Path) -> str:
        """Sixteen digits of the classes, and of names and sizes of images and annotations."""
        pairs = self._usable(root)
        files = [
            path.relative_to(root).as_posix() for split in pairs.values() for pair in split.values() for path in pair
        ]
        splits = [f"{split} {len(names)}" for split, names in pairs.items()]
        return fingerprint_of((*self._own_classes(root), *splits, *described_files(root, files)))

    def loaders(self, root: Path, classes: int) -> Loaders:
        """How mmsegmentation reads the data at ``root``: by its own class for the published data set.

        Raises:
            UserError: it is not of ``classes`` classes, or files are missing.
        """
        if (number := self._number_of_classes(root)) != classes:
            raise UserError(
                f"{root} has {number} classes, the recipe {classes}", f"give a recipe with classes={number}"
            )
        self._usable(root)
        names = self._own_classes(root)
        own = {"type": "BaseSegDataset", "metainfo": {"classes": names}} if names else {}
        training, validation = ({"data_root": str(root), **self.values(root, split), **own} for split in self.counts)
        return Loaders(training, validation, names, keep_zero=True)

    def demo(self, root: Path, scenes: "SceneSource", counts: Mapping[str, int] | None = None) -> None:
        """Writes scenes, each with one to three of four garments: 200 and 100, or ``counts``."""
        from crossmae.data.demo.write import mark_generated, save_png
        from crossmae.files import whole_folder
        from segmentation.data.demo import GARMENTS, annotation

        with whole_folder(root) as folder:
            mark_generated(folder)
            for split, count in (counts or {"train": 200, "val": 100}).items():
                drawn = scenes.draw(self.title, split, count, classes=GARMENTS, objects=(1, 3), scale=(0.4, 0.7))
                for name, scene in zip(self.write_names(folder, split, count), drawn, strict=True):
                    image, labels = self.place(folder, split, name)
                    for path in (image, labels):
                        path.parent.mkdir(parents=True, exist_ok=True)
                    save_png(scene.image, image)
                    save_png(annotation(scene) - 1, labels)
            names = ("background", *(scenes.class_names[label] for label in GARMENTS))
            (folder / CLASSES).write_text("\n".join(names) + "\n")

    def _wrong_layout(self, root: Path) -> Problem:
        if (inner := root / self.inner).is_dir():
            return Problem(f"{root} holds {self.inner} as a folder", f"give {inner} as the data root")
        return Problem(f"{root} is not {self.title} as it unpacks", f"it needs the folders {', '.join(self.folders)}")

    def _pairs(self, root: Path, split: str) -> Pairs:
        return {name: self.place(root, split, name) for name in self.names(root, split)}

    def _usable(self, root: Path) -> dict[str, Pairs]:
        """All pairs by split; raises UserError for the first fault."""
        pairs = {split: self._pairs(root, split) for split in self.counts}
        for split, of_split in pairs.items():
            for problem in self._faults(split, of_split):
                raise UserError(problem.what, problem.remedy)
        return pairs

    def _faults(self, split: str, pairs: Pairs) -> Iterator[Problem]:
        if not pairs:
            yield Problem(f"{split} has no images", "unpack the archives again")
        if bare := [name for name, (image, _) in pairs.items() if not image.is_file()]:
            yield Problem(f"{split}: no image for {some(bare)}", "unpack the images again")
        if bare := [name for name, (_, annotation) in pairs.items() if not annotation.is_file()]:
            yield Problem(f"{split}: no {pairs[bare[0]][1].name} and its like for {some(bare)}", self.no_annotation)

    def _number_of_classes(self, root: Path) -> int:
        return len(self._own_classes(root)) or self.classes

    def _own_classes(self, root: Path) -> tuple[str, ...]:
        return tuple(_lines(root / CLASSES)) if is_generated(root) else ()


class PascalVoc2012(ListedSet):
    """``VOCdevkit/VOC2012``, with the training images of ``train.txt`` alone and not those of the later ``aug.txt``."""

    title = "Pascal VOC 2012"
    classes = 21
    counts: ClassVar[Mapping[str, int]] = {"train": 1_464, "val": 1_449}
    folders = ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation")
    inner = "VOCdevkit/VOC2012"
    no_annotation = "unpack VOCtrainval_11-May-2012.tar again; SegmentationClass has palette images"

    def names(self, root: Path, split: str) -> list[str]:
        """The lines of the split's list."""
        path = self._list(root, split)
        names = _lines(path)
        if wrong := [name for name in names if not re.fullmatch(r"\w+", name)]:
            raise UserError(f"{path} has a line {wrong[0][:40]!r}, which names no image", "unpack the list again")
        if len(set(names)) != len(names):
            raise UserError(f"{path} names an image twice", "unpack the list again")
        return names

    def place(self, root: Path, split: str, name: str) -> tuple[Path, Path]:
        """The same folders for all splits."""
        del split
        return root / "JPEGImages" / f"{name}{_suffix(root)}", root / "SegmentationClass" / f"{name}.png"

    def values(self, root: Path, split: str) -> dict[str, Any]:
        """The split's list, and the folders."""
        return {
            "type": "PascalVOCDataset",
            "ann_file": self._list(Path(), split).as_posix(),
            "data_prefix": {"img_path": "JPEGImages", "seg_map_path": "SegmentationClass"},
            "img_suffix": _suffix(root),
            "seg_map_suffix": ".png",
        }

    def write_names(self, root: Path, split: str, count: int) -> list[str]:
        """Numbers of their own for each split, and the split's list."""
        year = {"train": 2007, "val": 2008}[split]
        names = [f"{year}_{number:06d}" for number in range(1, count + 1)]
        path = self._list(root, split)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(names) + "\n")
        return names

    def _list(self, root: Path, split: str) -> Path:
        return root / "ImageSets" / "Segmentation" / f"{split}.txt"


class Cityscapes(ListedSet):
    """``leftImg8bit`` and ``gtFine``, with a folder for each city."""

    title = "Cityscapes"
    classes = 19
    counts: ClassVar[Mapping[str, int]] = {"train": 2_975, "val": 500}
    folders = ("leftImg8bit", "gtFine")
    inner = "cityscapes"
    no_annotation = "make them: CITYSCAPES_DATASET=ROOT csCreateTrainIdLabelImgs (package cityscapesscripts)"
    image_end, annotation_end = "_leftImg8bit.png", "_gtFine_labelTrainIds.png"

    def names(self, root: Path, split: str) -> list[str]:
        """``CITY/NAME`` of every image, as mmsegmentation finds them."""
        folder = root / "leftImg8bit" / split
        if not folder.is_dir():
            raise UserError(f"{folder} does not exist", "unpack leftImg8bit_trainvaltest.zip again")
        files = files_below(folder)
        names = (files.relative(index) for index in range(len(files)))
        return [name.removesuffix(self.image_end) for name in names if name.endswith(self.image_end)]

    def place(self, root: Path, split: str, name: str) -> tuple[Path, Path]:
        """The split's own folders."""
        image, annotation = f"{name}{self.image_end}", f"{name}{self.annotation_end}"
        return root / "leftImg8bit" / split / image, root / "gtFine" / split / annotation

    def values(self, root: Path, split: str) -> dict[str, Any]:
        """The split's folders."""
        del root
        return {
            "type": "CityscapesDataset",
            "data_prefix": {"img_path": f"leftImg8bit/{split}", "seg_map_path": f"gtFine/{split}"},
            "img_suffix": self.image_end,
            "seg_map_suffix": self.annotation_end,
        }

    def write_names(self, root: Path, split: str, count: int) -> list[str]:
        """One city for each split."""
        del root
        city = {"train": "aachen", "val": "lindau"}[split]
        return [f"{city}/{city}_{number:06d}_000019" for number in range(count)]


def _suffix(root: Path) -> str:
    """The published images are JPEG; the demo's are PNG, because they must be the same on every machine."""
    return ".png" if is_generated(root) else ".jpg"


def _lines(path: Path) -> list[str]:
    try:
        return [line.strip() for line in read_regular(path).decode().splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read ({one_line(error, 100)})", "unpack the data set again") from error
