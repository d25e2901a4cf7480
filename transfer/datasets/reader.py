"""What every reader offers, and the checks that all data sets share."""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from crossmae.data.decode import UnreadableImage, read_rgb
from crossmae.data.images import DEMO_FILE, described, fingerprint_of
from crossmae.errors import UserError
from crossmae.parsing import CountOrZero, Strict, parse_json
from transfer.datasets.labelled import LabelledImages
from transfer.task import Problem

SPLITS = ("train", "val")
_OPENED = 200


@dataclass(frozen=True)
class Size(Strict):
    """How many classes and images a data set has."""

    classes: CountOrZero
    train: CountOrZero
    val: CountOrZero

    def of(self, split: str) -> int:
        """Images of ``split``."""
        return self.train if split == "train" else self.val

    def write(self, root: Path) -> None:
        """Marks ``root`` as generated data of this size."""
        (root / DEMO_FILE).write_text(json.dumps(asdict(self)) + "\n")


class Reader(ABC):
    """Reads one kind of layout."""

    published: Size
    """Counts of the real data set."""

    @abstractmethod
    def read(self, root: Path, split: str) -> LabelledImages:
        """Lists ``split`` ("train" or "val") of the data set at ``root``; opens no image.

        Raises:
            UserError: the layout or a list is not what it should be; always with its remedy.
        """

    def size(self, root: Path) -> Size:
        """The counts to expect at ``root``: those of the real data set, or of the demo data that lies there.

        Raises:
            UserError: the demo data's counts cannot be read.
        """
        path = root / DEMO_FILE
        return parse_json(Size, path.read_bytes(), str(path)) if path.is_file() else self.published

    def read_both(self, root: Path) -> tuple[LabelledImages, LabelledImages]:
        """Training and validation images, over the same classes.

        Raises:
            UserError: as ``read``, or the two splits name other classes.
        """
        train, val = (self.read(root, split) for split in SPLITS)
        if problem := _different_classes(root, train, val):
            raise UserError(problem.what, problem.remedy)
        return train, val

    def fingerprint(self, root: Path) -> str:
        """Classes, and names, sizes and labels of all images, in sixteen digits.

        Raises:
            UserError: as ``read``.
        """
        splits = (self.read(root, split) for split in SPLITS)
        return fingerprint_of(text for images in splits for text in _described(images))

    def check(self, root: Path) -> Iterator[Problem]:
        """Everything wrong with the data at ``root``."""
        if not root.is_dir():
            yield Problem(f"{root} does not exist", "put the data set there or name another folder")
            return
        splits = []
        for split in SPLITS:
            try:
                images, expected = self.read(root, split), self.size(root)
            except UserError as error:
                yield Problem(error.what, error.remedy or "mend the data set")
            else:
                splits.append(images)
                yield from _check_split(images, split, expected)
        if len(splits) == len(SPLITS) and (problem := _different_classes(root, *splits)):
            yield problem


def _described(images: LabelledImages) -> Iterator[str]:
    yield from (f"{len(images.classes)} {len(images)}", *images.classes, *map(str, images.labels.tolist()))
    yield from described(images.images, images.root)


def _different_classes(root: Path, train: LabelledImages, val: LabelledImages) -> Problem | None:
    if train.classes == val.classes:
        return None
    names = ", ".join(sorted(set(train.classes) ^ set(val.classes))[:5]) or "the order differs"
    return Problem(f"{root}: train and val have different classes ({names})", "make them the same")


def _check_split(images: LabelledImages, split: str, expected: Size) -> Iterator[Problem]:
    where = f"{images.root} ({split})"
    if len(images.classes) != expected.classes:
        yield Problem(f"{where}: {len(images.classes):,} classes instead of {expected.classes:,}", "check the data set")
    if len(images) != expected.of(split):
        yield Problem(f"{where}: {len(images):,} images instead of {expected.of(split):,}", "complete the data set")
    if empty := images.empty_classes():
        yield Problem(f"{where}: {_some(empty, 'classes')} without images", "complete the data set")
    missing = images.missing()
    if missing:
        yield Problem(f"{where}: {_some(missing, 'files')} missing", "unpack the archive again")
    if broken := _unreadable(images, set(missing)):
        yield Problem(f"{where}: {_some(broken, 'images')} cannot be read", "copy them again")


def _unreadable(images: LabelledImages, missing: set[str]) -> list[str]:
    """Returns the files that cannot be decoded to the end, of a few hundred spread over the split."""
    indices = np.unique(np.linspace(0, len(images) - 1, min(_OPENED, len(images))).astype(int))
    broken = []
    for index in indices:
        try:
            if images.files[index] not in missing:
                read_rgb(images.images.read(index))
        except UnreadableImage:
            broken.append(images.files[index])
    return broken


def _some(names: Sequence[str], what: str) -> str:
    shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
    return f"{len(names):,} {what} ({shown})"
