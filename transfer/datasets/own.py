"""Labelled images of one's own: an image folder, or a list of files with labels. The classes come from the data.

An image folder has one folder per class, below ``train`` and ``val`` or without the two. A list is a CSV file (comma,
semicolon or tab) or a Parquet file with a column of files, named relative to the data folder, and one of labels; a
third column may say which rows are ``train`` and which ``val``. Without validation images, a fifth of each class is
held out. What is called test is left alone unless a task names it as its validation set. Tasks with the option
``labels: several`` take lists that give an image several labels.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from crossmae.data.decode import UnreadableImage, opened
from crossmae.data.names import is_image
from crossmae.data.open import entries, is_folder
from crossmae.data.published import Ways
from crossmae.errors import UserError
from crossmae.files import write_json
from transfer.datasets.labelled import LabelledImages
from transfer.datasets.listing import Listed, Row, read_list
from transfer.datasets.places import TEST, TRAIN, VAL, find_places, is_list
from transfer.datasets.reader import Reader, check_split
from transfer.datasets.split import a_fifth, digest_of_names, held_out, twins
from transfer.task import Context, Problem

_DEEPEST = 16
_MACOS = "__MACOSX"
"""What macOS packs into an archive next to its folders."""
_RULE = "a fifth of each class (at least one image of two), those whose paths have the smallest SHA-256"
_RULE_OF_SEVERAL = f"{_RULE}, rare classes first; one of each class stays"
_ABSENT = "add them, or correct their names, which are taken relative to {}"
_LAYOUTS = "one folder per class, perhaps below train and val, or a CSV file with a column of files and one of labels"


class _Found(NamedTuple):
    """Rows by split, no ``val`` where none is given; and a line for each choice that names left open."""

    rows: dict[str, list[Row]]
    choices: tuple[str, ...] = ()


class OwnImages(Reader):
    """Options: ``train`` and ``val``, folders or lists relative to the data; those of ``read_list``; ``layout``, where
    a folder has lists and class folders. ``val`` may be a word in a list's column of splits, too.
    """

    published = None

    def read(self, root: Path, split: str) -> LabelledImages:
        """Lists ``split`` of the data at ``root``, a folder or a list."""
        return self.read_both(root)[split == "val"]

    def read_both(self, root: Path) -> tuple[LabelledImages, LabelledImages]:
        """Training and validation images over the classes of the training images.

        Raises:
            UserError: what lies there is no data set of these layouts, or has no two classes with images.
        """
        folder = root if is_folder(root) else root.parent
        rows = self._found(root).rows
        classes = _in_order({label for row in rows["train"] for label in row.labels})
        if len(classes) < 2:
            what = (
                f"the training images have one class only ({classes[0]})" if classes else "there is no training image"
            )
            inner = folder / classes[0] if classes else folder
            instead = f"; if the folders in it are the classes, give {inner}" if is_folder(inner) else ""
            raise UserError(f"{root}: {what}", f"it needs two classes at least: {_LAYOUTS}{instead}")
        train = _labelled(folder, rows["train"], classes, self._several)
        if "val" not in rows:
            held = held_out(train, a_fifth)
            return train.subset(np.setdiff1d(np.arange(len(train)), held)), train.subset(held)
        if alone := sorted({label for row in rows["val"] for label in row.labels} - set(classes)):
            names = ", ".join(alone[:5])
            raise UserError(
                f"{root}: {len(alone)} classes have validation and no training images ({names})",
                "move some to train, or take them out",
            )
        if not rows["val"]:
            raise UserError(
                f"{root}: there are no validation images", "add some, or name none: a part is held out then"
            )
        return train, _labelled(folder, rows["val"], classes, self._several)

    def check(self, root: Path) -> Iterator[Problem]:
        """Everything wrong with the data at ``root``."""
        try:
            splits = self.read_both(root)
        except UserError as error:
            yield Problem(error.what, error.remedy or "mend the data set")
            return
        for images, split in zip(splits, ("train", "val"), strict=True):
            yield from check_split(images, split, every_class=split == "train", absent=_ABSENT.format(images.root))

    def describe(self, root: Path) -> Iterator[str]:
        """What was recognised: layout, classes, images of each split, their sizes; and what is odd about it."""
        train, val = self.read_both(root)
        found = self._found(root)
        given = "val" in found.rows
        yield from (f"{root}: {choice}" for choice in found.choices)
        counts = train.counts()
        fewest = int(counts.argmin())
        yield (
            f"{root}: {len(train.classes)} classes, {len(train):,} training and {len(val):,} validation images"
            f"{'' if given else f' ({self._rule})'}, {_sizes(train)}; "
            f"fewest training images: {counts[fewest]} of {train.classes[fewest]}"
        )
        if self._several:
            labels = np.concatenate([train.labels, val.labels]).sum(axis=1)
            yield f"{root}: {labels.mean():.2f} labels an image, {(labels == 0).sum():,} images without one"
        if lacking := val.empty_classes():
            yield f"{root}: {len(lacking)} classes have no validation image ({', '.join(lacking[:3])})"
        if same := twins(train, val):
            yield f"{root}: {len(same)} validation images are training images too, byte for byte ({same[0]})"

    def note(self, context: Context, train: LabelledImages, val: LabelledImages) -> None:
        """Leaves ``data.json`` with the run: the images of each class, and how validation images were chosen."""
        super().note(context, train, val)
        assert context.data_root is not None
        counts = [images.counts().tolist() for images in (train, val)]
        found = self._found(context.data_root)
        content = {
            "classes": {name: {"train": a, "val": b} for name, a, b in zip(train.classes, *counts, strict=True)},
            "choices": found.choices,
            "validation": "given" if "val" in found.rows else self._rule,
            "validation_sha256": digest_of_names(val),
        }
        write_json(content, context.folder / "data.json")
        context.artifact("data", context.folder / "data.json")

    @property
    def _several(self) -> bool:
        return self.options.get("labels") == "several"

    @property
    def _rule(self) -> str:
        return _RULE_OF_SEVERAL if self._several else _RULE

    def _found(self, root: Path) -> _Found:
        if not is_folder(root):
            if not root.exists():
                raise UserError(f"{root} does not exist", "name the folder or the list of your data")
            return self._list(root.parent, root.name, self.options.get("val"))
        places = find_places(root, self.options)
        try:
            found = self._read(root, places.parts)
        except UserError as error:
            instead = ", or read the folders: layout: imagefolder" if places.over_folders else ""
            raise UserError(error.what, f"{error.remedy}{instead}") from error
        return found._replace(choices=(*places.choices, *found.choices))

    def _read(self, root: Path, parts: dict[str, str]) -> _Found:
        train, val = parts["train"], parts.get("val")
        if is_list(train) and (val is None or not (is_list(val) or is_folder(root / val))):
            return self._list(root, train, val)
        listed = {
            split: self._of_split(root, place, split) if is_list(place) else self._of_folders(root, place)
            for split, place in parts.items()
        }
        said = (choice for split, place in parts.items() for choice in _said(place, listed[split]))
        return _Found({split: one.rows for split, one in listed.items()}, tuple(said))

    def _of_folders(self, root: Path, place: str) -> Listed:
        if self._several:
            raise UserError(f"{root / place} is no list", "several labels an image are given by a CSV or Parquet file")
        return Listed(list(_class_folders(root, place)))

    def _of_split(self, root: Path, place: str, split: str) -> Listed:
        """A list that holds one split; a column of splits must say the same, or nothing."""
        path, listed = root / place, self._rows(root, place)
        words = TRAIN if split == "train" else (*VAL, TEST)
        others = {row.split.lower() for row in listed.rows if row.split is not None}.difference(words)
        if others:
            names = ", ".join(name or "empty cells" for name in sorted(others)[:3])
            what = f"{path} is the list of {split}, and its column of splits holds {names}"
            raise UserError(what, "keep one list with that column, or one list for each split without it")
        return listed

    def _rows(self, root: Path, place: str) -> Listed:
        """The list ``place``, with files relative to ``root``.

        It may name them relative to its own folder or, if it has none, to the one folder of the data that holds the
        first; and without their suffix, if all have the same.
        """
        listed = read_list(root / place, self.options)
        inner, first = place.rpartition("/")[0], listed.rows[0].file
        found = [("", suffix) for suffix in _suffixes(root, first)]
        if not found:
            folders = [f"{name}/" for name in ([inner] if inner else entries(root)[0])]
            found = [(folder, suffix) for folder in folders for suffix in _suffixes(root, f"{folder}{first}")]
        if len(found) != 1 or found == [("", "")]:
            return listed
        ((before, after),) = found
        rows = [row._replace(file=f"{before}{row.file}{after}") for row in listed.rows]
        return listed._replace(rows=rows, named=f"{before}NAME{after}")

    def _list(self, root: Path, place: str, said: str | None) -> _Found:
        """The rows of the list ``place`` by its column of splits, where those of ``said`` are the validation ones."""
        path, listed = root / place, self._rows(root, place)
        choices = _said(place, listed)
        by_split: dict[str, list[Row]] = {}
        for row in listed.rows:
            by_split.setdefault((row.split or "").lower(), []).append(row)
        if said is None and by_split.keys() == {""}:
            return _Found({"train": listed.rows}, choices)
        held = VAL if said is None else (said.lower(),)
        if said is not None and held[0] not in by_split:
            raise UserError(f"{path}: no row is of the split {said!r}", "val: names a split, a list or a folder")
        if unknown := sorted(by_split.keys() - {*TRAIN, *VAL, TEST, *held}):
            names = ", ".join(name or "empty cells" for name in unknown[:3])
            raise UserError(f"{path}: its column of splits holds {names}", "write train or val there")
        train, val = ([row for name in names for row in by_split.get(name, [])] for names in (TRAIN, held))
        if TEST in by_split and TEST not in held:
            why = "" if val else ", a part of train is held out; val: test would be taken instead"
            choices += (f"{len(by_split[TEST]):,} rows of the split test are left alone{why}",)
        return _Found({"train": train, **({"val": val} if val else {})}, choices)


def _class_folders(root: Path, place: str) -> Iterator[Row]:
    """The images of each class folder below ``root/place``, at any depth."""
    folder = root / place
    if not is_folder(folder):
        raise UserError(f"{folder} does not exist", f"it needs {_LAYOUTS}")
    classes, files = entries(folder)
    classes = sorted(name for name in classes if name[0] != "." and name != _MACOS)
    if not classes:
        count = sum(map(is_image, files))
        what = f"{folder} is flat: {count:,} images and no class folders" if count else f"{folder} is empty"
        raise UserError(what, f"it needs {_LAYOUTS}")
    before, ways = "" if place == "." else f"{place.strip('/')}/", Ways()
    for name in classes:
        images = list(_images_below(root, f"{before}{name}", 0, ways))
        if not images:
            lists = sorted(filter(is_list, entries(folder / name)[1]))
            instead = f", or name its list in a task file: train: {before}{name}/{lists[0]}" if lists else ""
            raise UserError(f"{folder / name} holds no image", f"add some, or remove the folder{instead}")
        yield from (Row(file, (name,), None) for file in images)


def _images_below(root: Path, place: str, depth: int, ways: Ways) -> Iterator[str]:
    if depth > _DEEPEST:
        raise UserError(f"{root / place} lies {_DEEPEST} folders deep", "is there a link that leads back?")
    if (root / place).is_dir():  # of a cache it is none
        ways.enter(str(root / place))
    folders, files = entries(root / place)
    yield from (f"{place}/{name}" for name in sorted(files) if is_image(name))
    for name in sorted(folders):
        if name[0] != ".":
            yield from _images_below(root, f"{place}/{name}", depth + 1, ways)


def _suffixes(root: Path, file: str) -> list[str]:
    """What the image ``file`` is called behind that name: nothing if it is there, else the suffixes of such images."""
    folder, _, name = file.rpartition("/")
    there = entries(root / folder)[1]
    return [""] if name in there else [Path(one).suffix for one in there if Path(one).stem == name and is_image(one)]


def _said(place: str, listed: Listed) -> tuple[str, ...]:
    several = f"{place} gives an image several labels ({listed.several})" if listed.several else ""
    named = f"{place} names images that are called {listed.named}" if listed.named else ""
    windows = f"the backslashes of {place} separate folders" if listed.backslashes else ""
    return tuple(filter(None, (several, named, windows)))


def _labelled(folder: Path, rows: Sequence[Row], classes: tuple[str, ...], several: bool) -> LabelledImages:
    places = {name: place for place, name in enumerate(classes)}
    if several:
        labels = np.zeros((len(rows), len(classes)), np.int64)
        for number, row in enumerate(rows):
            labels[number, [places[label] for label in row.labels]] = 1
    else:
        labels = np.array([places[label] for row in rows for label in row.labels], np.int64)
    return LabelledImages(folder, tuple(os.fspath(row.file) for row in rows), labels, classes)


def _in_order(names: set[str]) -> tuple[str, ...]:
    """Numbers by size, other names by the alphabet."""
    return tuple(sorted(names, key=int if all(name.isdecimal() for name in names) else None))


def _sizes(images: LabelledImages) -> str:
    """The range of widths and heights of a few hundred image files."""
    sizes = []
    for place in images.spread(200):
        source = images.images.read(place)
        try:
            if isinstance(source, Path):
                with opened(source) as image:
                    sizes.append(image.size)
        except UnreadableImage:
            continue
    if not sizes:
        return "of unknown sizes"
    (narrowest, widest), (lowest, highest) = ((min(sides), max(sides)) for sides in zip(*sizes, strict=True))
    return f"{narrowest} to {widest} pixels wide, {lowest} to {highest} high"
