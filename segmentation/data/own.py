"""Images and masks of one's own: found, and laid out as mmsegmentation reads them.

Images lie in a folder ``images`` and masks of the same names in a folder ``masks`` (or under other usual names),
perhaps with a folder for each split within them or around them. A mask has one label per pixel, in grey or as a
palette's index; 255 is ignored. Without validation images, a fifth is held out; what is called test is left alone.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from crossmae.data.decode import UnreadableImage, opened
from crossmae.data.images import described_files, fingerprint_of
from crossmae.data.published import files_below
from crossmae.errors import UserError
from crossmae.files import read_regular, write_text
from segmentation.data.layout import CLASS_FILE, image_suffix

RULE = "a fifth of the images, those whose names have the smallest SHA-256"
IGNORED = 255
GREY = ("1", "L", "P")
"""Modes of masks with one 8-bit label per pixel."""
_IMAGES = ("images", "image", "imgs", "img", "jpegimages")
_MASKS = ("masks", "mask", "annotations", "labels", "segmentationclass")
_WORDS = {"training": ("train", "training"), "validation": ("val", "valid", "validation")}
_CLASS_FILES = ("classes.txt", "labels.txt", "class_names.txt")
_ENDING = re.compile(r"[-_.](mask|masks|label|labels|seg|gt)$", re.IGNORECASE)
_LAYOUT = "it needs a folder images, and a folder masks with a mask of the same name for each image"


@dataclass(frozen=True)
class Pairs:
    """Images and masks of one split by name; ``folders`` are those they lie in."""

    images: dict[str, Path]
    masks: dict[str, Path]
    folders: tuple[Path, Path]

    @property
    def names(self) -> list[str]:
        """Those of images that have a mask."""
        return sorted(self.images.keys() & self.masks.keys())

    def only(self, names: set[str]) -> "Pairs":
        """The images and masks of these names."""
        images, masks = ({n: path for n, path in kind.items() if n in names} for kind in (self.images, self.masks))
        return replace(self, images=images, masks=masks)


@dataclass(frozen=True)
class OwnMasks:
    """Both splits by the names that ADE20K's have. ``keep_zero``: label 0 is a class and not ignored."""

    root: Path
    splits: dict[str, Pairs]
    given: bool
    keep_zero: bool
    said: tuple[str, ...]
    """Names of the classes, where somebody says them."""

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Names by label, from 0 if ``keep_zero`` and from 1 otherwise; without names, up to the highest label."""
        if self.said:
            return self.said
        masks = [pairs.masks[name] for pairs in self.splits.values() for name in pairs.names]
        labels = (values[values != IGNORED] for values in map(labels_of, masks))
        highest = max((int(values.max()) for values in labels if values.size), default=0)
        names = ("background", *(f"label {label}" for label in range(1, highest + 1)))
        return names if self.keep_zero else names[1:]


def read_own(root: Path, options: Mapping[str, str]) -> OwnMasks:
    """The data at ``root``. Options: ``train`` and ``val``, folders below it; ``classes``; ``background: ignore``.

    Raises:
        UserError: there are no such folders, or no training image with a mask.
    """
    train = _pairs_of(root, "training", options.get("train"))
    if train is None or not train.names:
        raise UserError(f"{root} has no training image with a mask", _LAYOUT)
    val = _pairs_of(root, "validation", options.get("val"))
    splits = _halves(root, train) if val is None else {"training": train, "validation": val}
    if "tuning" in options:  # Values are chosen on a part of the training images alone.
        splits = _halves(root, splits["training"])
    keep = options.get("background", "keep") == "keep"
    return OwnMasks(root, splits, val is not None, keep, _said(root, options))


def has_test(root: Path) -> bool:
    """Whether a folder called test lies where one called val would be looked for."""
    return any(folder and _folder(folder, ("test",)) for folder in (root, *(_both(root) or ())))


def _halves(root: Path, pairs: Pairs) -> dict[str, Pairs]:
    order = sorted(pairs.images.keys() | pairs.masks.keys(), key=lambda name: hashlib.sha256(name.encode()).digest())
    held = set(order[: -(-len(order) // 5)])
    if len(order) < 2:
        raise UserError(f"{root} has one image, so none can be held out", "add images")
    return {"training": pairs.only(set(order) - held), "validation": pairs.only(held)}


def tidy(data: OwnMasks, folder: Path) -> Path:
    """Lays links to ``data`` out as ADE20K's files lie, in ``folder``, and returns it."""
    suffix = image_suffix(len(data.classes))
    for split, pairs in data.splits.items():
        for kind, paths, ending in (("images", pairs.images, suffix), ("annotations", pairs.masks, ".png")):
            (folder / kind / split).mkdir(parents=True, exist_ok=True)
            for name in pairs.names:
                with suppress(FileExistsError):
                    (folder / kind / split / f"{name.replace('/', '__')}{ending}").symlink_to(paths[name].resolve())
    write_text("\n".join(["Name", *data.classes]) + "\n", folder / CLASS_FILE)
    return folder


def fingerprint_of_own(root: Path, options: Mapping[str, str]) -> str:
    """Sixteen digits of the classes, and of names and sizes of images and masks."""
    data = read_own(root, options)
    files = [
        path.relative_to(root).as_posix()
        for pairs in data.splits.values()
        for kind in (pairs.images, pairs.masks)
        for _, path in sorted(kind.items())
    ]
    return fingerprint_of((str(data.keep_zero), str(data.given), *data.said, *described_files(root, files)))


def labels_of(mask: Path) -> NDArray[np.int64]:
    """The labels in a mask, each once; none of a file that is no mask."""
    with suppress(UnreadableImage), opened(mask) as image:
        if image.mode in GREY:
            return np.unique(np.asarray(image)).astype(np.int64)
    return np.empty(0, np.int64)


def _pairs_of(root: Path, split: str, said: str | None) -> Pairs | None:
    """The pairs of ``split``: in ``root/SPLIT/images``, ``root/images/SPLIT``, or for training in ``root/images``."""
    words = (said.lower(),) if said else _WORDS[split]
    below = _folder(root, words)
    if below and (folders := _both(below)):
        return _paired(*folders)
    folders = _both(root)
    if folders is None:
        return None
    images, masks = (_folder(folder, words) for folder in folders)
    if images and masks:
        return _paired(images, masks)
    if said:
        raise UserError(f"{folders[0]} has no folder {said}", _LAYOUT)
    return _paired(*folders) if split == "training" else None


def _both(folder: Path) -> tuple[Path, Path] | None:
    images, masks = _folder(folder, _IMAGES), _folder(folder, _MASKS)
    return (images, masks) if images and masks else None


def _folder(parent: Path, words: tuple[str, ...]) -> Path | None:
    folders = {path.name.lower(): path for path in parent.iterdir() if path.is_dir()} if parent.is_dir() else {}
    return next((folders[word] for word in words if word in folders), None)


def _paired(images: Path, masks: Path) -> Pairs:
    named = _by_name(images, _files(images))
    found = ((name if name in named else _ENDING.sub("", name), path) for name, path in _files(masks))
    return Pairs(named, _by_name(masks, found), (images, masks))


def _by_name(folder: Path, files: Iterator[tuple[str, Path]]) -> dict[str, Path]:
    named: dict[str, Path] = {}
    for name, path in files:
        if (first := named.setdefault(name, path)) != path:
            what = f"{folder}: {first.name} and {path.name} have one name, {name!r}, by which images find their masks"
            raise UserError(what, "rename or remove one of them")
    return named


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    images = files_below(folder)
    for path in map(images.read, range(len(images))):
        yield path.relative_to(folder).with_suffix("").as_posix(), path


def _said(root: Path, options: Mapping[str, str]) -> tuple[str, ...]:
    """Names of the classes from the task's options, or a file of one name on each line."""
    text = options.get("classes", "")
    if "\n" in text:
        return tuple(text.splitlines())
    file = next((root / name for name in ((text,) if text else _CLASS_FILES) if text or (root / name).is_file()), None)
    if file is None:
        return ()
    try:
        lines = read_regular(file).decode("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file} is no readable list of classes", "write one name on each line") from error
    names = tuple(line.strip() for line in lines if line.strip())
    if len(set(names)) != len(names) or not names:
        raise UserError(f"{file} names {'a class twice' if names else 'no class'}", "write one name on each line")
    return names
