"""Labelled images of one's own: an image folder, or a list of files with labels. The classes come from the data.

An image folder has one folder per class, below ``train`` and ``val`` or without the two. A list is a CSV file (comma,
semicolon or tab) or a Parquet file with a column of files, named relative to the data folder, and one of labels; a
third column may say which rows are ``train`` and which ``val``. Without validation images, a fifth of each class is
held out.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from crossmae.data.decode import UnreadableImage, opened
from crossmae.data.names import is_image
from crossmae.data.open import entries, is_folder
from crossmae.errors import UserError
from crossmae.files import write_json
from transfer.datasets.labelled import LabelledImages
from transfer.datasets.listing import LIST_SUFFIXES, Row, read_list
from transfer.datasets.reader import Reader, check_split
from transfer.datasets.split import a_fifth, digest_of_names, held_out, twins
from transfer.task import Context, Problem

_TRAIN = ("train", "training")
_VAL = ("val", "valid", "validation", "test")
_DEEPEST = 16
_RULE = "a fifth of each class (at least one image of two), those whose paths have the smallest SHA-256"
_LAYOUTS = "one folder per class, perhaps below train and val, or a CSV file with a column of files and one of labels"


class OwnImages(Reader):
    """Options: ``train`` and ``val``, folders or lists relative to the data; ``file_column``, ``label_column``;
    ``layout``, where a folder has lists and class folders.
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
        rows = self._rows(root)
        classes = _in_order({row.label for row in rows["train"]})
        if len(classes) < 2:
            what = (
                f"the training images have one class only ({classes[0]})" if classes else "there is no training image"
            )
            raise UserError(f"{root}: {what}", f"it needs two classes at least: {_LAYOUTS}")
        train = _labelled(folder, rows["train"], classes)
        if "val" not in rows:
            held = held_out(train, a_fifth)
            return train.subset(np.setdiff1d(np.arange(len(train)), held)), train.subset(held)
        if alone := sorted({row.label for row in rows["val"]} - set(classes)):
            names = ", ".join(alone[:5])
            raise UserError(
                f"{root}: {len(alone)} classes have validation and no training images ({names})",
                "move some to train, or take them out",
            )
        if not rows["val"]:
            raise UserError(
                f"{root}: there are no validation images", "add some, or name none: a part is held out then"
            )
        return train, _labelled(folder, rows["val"], classes)

    def check(self, root: Path) -> Iterator[Problem]:
        """Everything wrong with the data at ``root``."""
        try:
            splits = self.read_both(root)
        except UserError as error:
            yield Problem(error.what, error.remedy or "mend the data set")
            return
        for images, split in zip(splits, ("train", "val"), strict=True):
            yield from check_split(images, split, every_class=split == "train")

    def describe(self, root: Path) -> Iterator[str]:
        """What was recognised: layout, classes, images of each split, their sizes; and what is odd about it."""
        train, val = self.read_both(root)
        given = "val" in self._rows(root)
        counts = np.bincount(train.labels, minlength=len(train.classes))
        fewest = int(counts.argmin())
        yield (
            f"{root}: {len(train.classes)} classes, {len(train):,} training and {len(val):,} validation images"
            f"{'' if given else f' ({_RULE})'}, {_sizes(train)}; "
            f"fewest training images: {counts[fewest]} of {train.classes[fewest]}"
        )
        if lacking := val.empty_classes():
            yield f"{root}: {len(lacking)} classes have no validation image ({', '.join(lacking[:3])})"
        if same := twins(train, val):
            yield f"{root}: {len(same)} validation images are training images too, byte for byte ({same[0]})"

    def note(self, context: Context, train: LabelledImages, val: LabelledImages) -> None:
        """Leaves ``data.json`` with the run: the images of each class, and how validation images were chosen."""
        super().note(context, train, val)
        assert context.data_root is not None
        counts = [np.bincount(images.labels, minlength=len(images.classes)).tolist() for images in (train, val)]
        content = {
            "classes": {name: {"train": a, "val": b} for name, a, b in zip(train.classes, *counts, strict=True)},
            "validation": "given" if "val" in self._rows(context.data_root) else _RULE,
            "validation_sha256": digest_of_names(val),
        }
        write_json(content, context.folder / "data.json")
        context.artifact("data", context.folder / "data.json")

    def _rows(self, root: Path) -> dict[str, list[Row]]:
        """Rows by split; no ``val`` where none is given."""
        if not is_folder(root):
            if not root.exists():
                raise UserError(f"{root} does not exist", "name the folder or the list of your data")
            return self._list(root, None)
        parts = {name: self.options[name] for name in ("train", "val") if name in self.options} or self._parts(root)
        if "train" not in parts:
            parts["train"] = self._parts(root)["train"]
        rows: dict[str, list[Row]] = {}
        for split, place in parts.items():
            if place.lower().endswith(LIST_SUFFIXES):
                rows |= self._list(root / place, split if len(parts) > 1 else None)
            else:
                rows[split] = list(_class_folders(root, place))
        return rows

    def _parts(self, root: Path) -> dict[str, str]:
        return _parts(root, lists_count=self.options.get("layout") != "imagefolder")

    def _list(self, path: Path, split: str | None) -> dict[str, list[Row]]:
        rows = read_list(path, self.options.get("file_column"), self.options.get("label_column"))
        if split is not None:
            return {split: rows}
        parts = {row.split for row in rows}
        if parts == {None}:
            return {"train": rows}
        names = {name: part for part, names in (("train", _TRAIN), ("val", _VAL)) for name in names}
        if unknown := sorted(str(part) for part in parts if part is None or part.lower() not in names):
            raise UserError(f"{path}: its column of splits holds {', '.join(unknown[:3])}", "write train or val there")
        found: dict[str, list[Row]] = {"train": [], "val": []}
        validation = next((name for name in _VAL if name in {str(part).lower() for part in parts}), None)
        for row in rows:
            name = str(row.split).lower()
            if names[name] == "train" or name == validation:
                found[names[name]].append(row)
        return found


def _parts(root: Path, lists_count: bool) -> dict[str, str]:
    """Which folder or list holds which split, by their names; the folder itself where nothing is called so."""
    folders, files = (sorted(name for name in names if name[0] != ".") for names in entries(root))
    lists = {Path(name).stem.lower(): name for name in files if lists_count and name.lower().endswith(LIST_SUFFIXES)}
    for names in ({name.lower(): name for name in folders}, lists):
        train = next((names[name] for name in _TRAIN if name in names), None)
        val = next((names[name] for name in _VAL if name in names), None)
        if train and (names is lists or entries(root / train)[0] or not lists):
            return {"train": train, **({"val": val} if val else {})}
    if len(lists) == 1:
        return {"train": next(iter(lists.values()))}
    if lists and not folders:
        what = f"{root} holds several lists ({', '.join(sorted(lists.values())[:4])})"
        raise UserError(what, "name one, or call them train.csv and val.csv")
    return {"train": "."}


def _class_folders(root: Path, place: str) -> Iterator[Row]:
    """The images of each class folder below ``root/place``, at any depth."""
    folder = root / place
    if not is_folder(folder):
        raise UserError(f"{folder} does not exist", f"it needs {_LAYOUTS}")
    classes, files = entries(folder)
    classes = sorted(name for name in classes if name[0] != ".")
    if not classes:
        count = sum(map(is_image, files))
        what = f"{folder} is flat: {count:,} images and no class folders" if count else f"{folder} is empty"
        raise UserError(what, f"it needs {_LAYOUTS}")
    before = "" if place == "." else f"{place.strip('/')}/"
    for name in classes:
        images = list(_images_below(root, f"{before}{name}", 0))
        if not images:
            raise UserError(f"{folder / name} holds no image", "add some, or remove the folder")
        yield from (Row(file, name, None) for file in images)


def _images_below(root: Path, place: str, depth: int) -> Iterator[str]:
    if depth > _DEEPEST:
        raise UserError(f"{root / place} lies {_DEEPEST} folders deep", "is there a link that leads back?")
    folders, files = entries(root / place)
    yield from (f"{place}/{name}" for name in sorted(files) if is_image(name))
    for name in sorted(folders):
        if name[0] != ".":
            yield from _images_below(root, f"{place}/{name}", depth + 1)


def _labelled(folder: Path, rows: Iterable[Row], classes: tuple[str, ...]) -> LabelledImages:
    places = {name: place for place, name in enumerate(classes)}
    rows = list(rows)
    labels = np.array([places[row.label] for row in rows], np.int64)
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
