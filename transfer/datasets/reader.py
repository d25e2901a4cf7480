"""What every reader offers, and the checks that all data sets share."""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from unicodedata import normalize

from crossmae.data.decode import UnreadableImage, read_rgb
from crossmae.data.images import DEMO_FILE, described, fingerprint_of, is_generated
from crossmae.data.open import entries
from crossmae.data.staging.cache import holds_pixels
from crossmae.errors import UserError
from crossmae.parsing import CountOrZero, Strict, parse_file
from transfer.datasets.labelled import LabelledImages
from transfer.task import Context, Problem

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

    published: Size | None
    """Counts of the real data set; None where there is no such thing."""

    def __init__(self, options: Mapping[str, str] = MappingProxyType({})) -> None:
        """``options`` are those of a task; most readers have no use for them."""
        self.options = options

    @abstractmethod
    def read(self, root: Path, split: str) -> LabelledImages:
        """Lists ``split`` ("train" or "val") of the data set at ``root``; opens no image.

        Raises:
            UserError: the layout or a list is not what it should be; always with its remedy.
        """

    def generated(self, root: Path) -> Size | None:
        """The counts of the demo data at ``root``; None if other data lies there.

        Raises:
            UserError: the demo data's counts cannot be read.
        """
        path = root / DEMO_FILE
        return parse_file(Size, path) if path.is_file() and is_generated(root) else None

    def describe(self, root: Path) -> Iterator[str]:
        """Lines that say what was found at ``root``, as far as it is not simply the published data set."""
        if self.published is None or self.generated(root) is not None:
            return
        yield from (f"{root}: {text}" for text in departures(self.published, *self.read_both(root)))

    def note(self, context: Context, train: LabelledImages, val: LabelledImages) -> None:
        """Leaves with a run how its data differ from the published ones."""
        for text in train.images.deviations:
            context.deviation(text)
        if self.published is not None and self.generated(train.root) is None:
            for text in departures(self.published, train, val):
                context.deviation(text)

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
        """Everything wrong with the data at ``root``; another number of images or classes than published is not."""
        if not root.is_dir():
            yield Problem(f"{root} does not exist", "put the data set there or name another folder")
            return
        splits = []
        for split in SPLITS:
            try:
                images, expected = self.read(root, split), self.generated(root)
            except UserError as error:
                yield Problem(error.what, error.remedy or "mend the data set")
            else:
                splits.append(images)
                yield from check_split(images, split, expected)
        if len(splits) == len(SPLITS) and (problem := _different_classes(root, *splits)):
            yield problem


def _described(images: LabelledImages) -> Iterator[str]:
    yield from (f"{len(images.classes)} {len(images)}", *images.classes, *map(str, images.labels.tolist()))
    yield from described(images.images, images.root)
    if holds_pixels(images.images):  # whose sizes say little: all squares of one size have the same
        yield images.images.digest


def _different_classes(root: Path, train: LabelledImages, val: LabelledImages) -> Problem | None:
    if train.classes == val.classes:
        return None
    names = ", ".join(sorted(set(train.classes) ^ set(val.classes))[:5]) or "the order differs"
    return Problem(f"{root}: train and val have different classes ({names})", "make them the same")


def departures(published: Size, train: LabelledImages, val: LabelledImages) -> Iterator[str]:
    """How the counts of a data set differ from the published ones: part of it, or data of another kind."""
    counts = (len(train.classes), len(train), len(val))
    names = ("classes", "training images", "validation images")
    for count, real, name in zip(counts, (published.classes, published.train, published.val), names, strict=True):
        if count != real:
            yield f"{count:,} {name} (published: {real:,})"


def check_split(
    images: LabelledImages,
    split: str,
    generated: Size | None = None,
    every_class: bool = True,
    absent: str = "unpack the archive again",
) -> Iterator[Problem]:
    """What is wrong with the files and classes of one split.

    Args:
        generated: the counts that it must have, if we wrote it.
        every_class: whether a class without images is wrong.
        absent: what to do about files that are not there.
    """
    where = f"{images.root} ({split})"
    if generated is not None and len(images.classes) != generated.classes:
        what = f"{where}: {len(images.classes):,} classes instead of {generated.classes:,}"
        yield Problem(what, "remove the folder, and it is written again")
    if generated is not None and len(images) != generated.of(split):
        what = f"{where}: {len(images):,} images instead of {generated.of(split):,}"
        yield Problem(what, "remove the folder, and it is written again")
    if not len(images):
        yield Problem(f"{where} has no images", "complete the data set")
    if every_class and (empty := images.empty_classes()):
        yield Problem(f"{where}: {_some(empty, 'classes')} without images", "complete the data set")
    yield from check_files(images, where, absent)


def check_files(images: LabelledImages, where: str, absent: str = "unpack the archive again") -> Iterator[Problem]:
    """Files that are not there and, of a few hundred that are spread over the set, those that cannot be read."""
    if missing := images.missing():
        yield Problem(f"{where}: {_some(missing, 'files')} missing", _otherwise_written(images, missing[0]) or absent)
    if broken := _unreadable(images, set(missing)):
        yield Problem(f"{where}: {_some(broken, 'images')} cannot be read", "copy them again")


def _otherwise_written(images: LabelledImages, missing: str) -> str:
    """What to do if the file is there under the same letters in another form of Unicode, as macOS writes accents."""
    folder, _, name = missing.rpartition("/")
    there = entries(images.root / folder)[1]
    if not any(normalize("NFC", other) == normalize("NFC", name) for other in there):
        return ""
    return f"{missing} is there with its accents in another form of Unicode: write it as the folder has it"


def _unreadable(images: LabelledImages, missing: set[str]) -> list[str]:
    """Returns the files that cannot be decoded to the end, of a few hundred spread over the split."""
    broken = []
    for index in images.spread(_OPENED):
        try:
            if images.files[index] not in missing:
                read_rgb(images.images.read(index))
        except UnreadableImage:
            broken.append(images.files[index])
    return broken


def _some(names: Sequence[str], what: str) -> str:
    shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
    return f"{len(names):,} {what} ({shown})"
