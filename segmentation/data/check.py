"""What is wrong with an ADE20K folder, before a GPU waits for it."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path

import numpy as np

from crossmae.data.decode import UnreadableImage, opened
from crossmae.data.images import is_generated
from crossmae.errors import UserError, one_line
from segmentation.data.layout import (
    ADE20K_CLASSES,
    CLASS_FILE,
    SPLITS,
    Split,
    class_names,
    image_suffix,
    split_of,
)
from transfer.task import Problem

OPENED = 500
"""Files per split whose content is looked at, spread evenly; names are all compared."""

SHOWN = 3
IGNORED = 255


def problems(root: Path) -> Iterator[Problem]:
    """Finds everything wrong with the data at ``root``."""
    if not (root / "images").is_dir() or not (root / "annotations").is_dir():
        yield _wrong_layout(root)
        return
    try:
        names = class_names(root)
    except UserError as error:
        yield Problem(error.what, error.remedy)
        return
    classes = len(names) or ADE20K_CLASSES
    for name in SPLITS:
        split = split_of(root, name)
        yield from _names(name, split)
        yield from _suffixes(name, split, classes)
        yield from _irregular(split)
        yield from _nested(root, name)
        yield from _content(split, classes)


def require_readable(root: Path, classes: int) -> None:
    """Refuses what mmsegmentation would not list for a data set of ``classes`` classes, list unseen, or wait for.

    Raises:
        UserError: another number of classes is named, or the first split with such images.
    """
    names = class_names(root)
    if len(names) != classes and (names or classes != ADE20K_CLASSES):
        what = f"{root / CLASS_FILE} names {len(names)} classes, the recipe has {classes}"
        raise UserError(what, f"give a list of {classes} classes, or a recipe with classes={len(names)}")
    for name in SPLITS:
        split = split_of(root, name)
        for problem in chain(_suffixes(name, split, classes), _irregular(split), _nested(root, name)):
            raise UserError(problem.what, problem.remedy)


def _wrong_layout(root: Path) -> Problem:
    inner = root / "ADEChallengeData2016"
    if inner.is_dir():
        return Problem(f"{root} holds ADEChallengeData2016 as a folder", f"give {inner} as the data root")
    remedy = "unpack ADEChallengeData2016.zip there (images/training, annotations/training, ...)"
    return Problem(f"{root} has no images and annotations folders", remedy)


def _names(name: str, split: Split) -> Iterator[Problem]:
    if not split.images:
        yield Problem(f"images/{name} has no images", "unpack ADEChallengeData2016.zip again")
    if bare := sorted(split.images.keys() - split.annotations.keys()):
        yield Problem(f"images/{name}: no annotation for {some(bare)}", f"restore them in annotations/{name}")
    if lone := sorted(split.annotations.keys() - split.images.keys()):
        yield Problem(f"annotations/{name}: no image for {some(lone)}", "restore the images or remove these")


def _suffixes(name: str, split: Split, classes: int) -> Iterator[Problem]:
    suffix = image_suffix(classes)
    if others := [stem for stem, path in split.images.items() if path.suffix != suffix]:
        what = f"images/{name}: with {classes} classes images are {suffix} files, {some(others)} are not"
        yield Problem(what, f"convert them to {suffix}")


def _irregular(split: Split) -> Iterator[Problem]:
    for path in (*split.images.values(), *split.annotations.values()):
        if not path.is_file():
            yield Problem(f"{path} is no regular file", "restore it")


def _nested(root: Path, split: str) -> Iterator[Problem]:
    """mmsegmentation searches at any depth; what lies deeper is in no count, no check and no fingerprint."""
    for folder in (root / "images" / split, root / "annotations" / split):
        folders = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
        for within in folders[:1]:
            yield Problem(f"{within} is a folder among the images, of which ADE20K has none", "move it out")


def departures(root: Path) -> Iterator[str]:
    """How the numbers of images differ from ADE20K's, unless we wrote the data."""
    for name, expected in SPLITS.items():
        count = len(split_of(root, name).images)
        if count != expected and not is_generated(root):
            yield f"{count:,} {name} images (ADE20K: {expected:,})"


def _content(split: Split, classes: int) -> Iterator[Problem]:
    both = split.images.keys() & split.annotations.keys()
    pairs = {stem: (split.images[stem], split.annotations[stem]) for stem in both}
    # 0 ("other") and 255 are both ignored.
    remedy = f"use annotations with labels 0 to {classes}, or correct {CLASS_FILE}"
    yield from content(pairs, classes, classes, "use ADEChallengeData2016's annotations, not the full ADE20K's", remedy)


def content(
    pairs: Mapping[str, tuple[Path, Path]], classes: int, highest: int, wrong_kind: str, wrong_label: str
) -> Iterator[Problem]:
    """Looks into images and annotations, at most ``OPENED`` of them.

    Args:
        pairs: image and annotation by name.
        classes: number of classes.
        highest: highest label that is one; 255 is ignored.
        wrong_kind: remedy for an annotation without one label per pixel.
        wrong_label: remedy for a label that is no class.
    """
    for name in _spread(sorted(pairs)):
        image, annotation = pairs[name]
        try:
            with opened(image) as picture, opened(annotation) as labels:
                picture.load()
                mode, size, values = labels.mode, labels.size, np.unique(np.asarray(labels))
        except UnreadableImage as error:
            yield Problem(f"{name}: image or annotation cannot be read ({one_line(error)})", "restore both files")
            continue
        if mode not in ("L", "P"):
            yield Problem(f"{annotation} is a {mode} image, not one label per pixel", wrong_kind)
            continue
        if picture.size != size:
            sizes = " x ".join(map(str, size)), " x ".join(map(str, picture.size))
            yield Problem(f"{annotation} is {sizes[0]}, its image {sizes[1]}", "restore both files")
        if (strange := values[(values > highest) & (values != IGNORED)]).size:
            yield Problem(f"{annotation} has label {strange[0]}, but there are {classes} classes", wrong_label)


def _spread(stems: Sequence[str]) -> list[str]:
    step = max(1, len(stems) // OPENED)
    return list(stems[::step])


def some(stems: Sequence[str]) -> str:
    """The first few of ``stems``, and how many more there are."""
    more = f" and {len(stems) - SHOWN:,} more" if len(stems) > SHOWN else ""
    return ", ".join(stems[:SHOWN]) + more
