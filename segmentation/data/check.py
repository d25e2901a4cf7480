"""What is wrong with an ADE20K folder, before a GPU waits for it."""

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

import numpy as np

from crossmae.data.decode import UnreadableImage, opened
from crossmae.data.images import DEMO_FILE
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
        yield from _content(split, classes)


def require_readable(root: Path, classes: int) -> None:
    """Refuses images that mmsegmentation would not list for a data set of ``classes`` classes, or wait for for ever.

    Raises:
        UserError: the first split with such images.
    """
    for name in SPLITS:
        split = split_of(root, name)
        for problem in chain(_suffixes(name, split, classes), _irregular(split)):
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
        yield Problem(f"images/{name}: no annotation for {_some(bare)}", f"restore them in annotations/{name}")
    if lone := sorted(split.annotations.keys() - split.images.keys()):
        yield Problem(f"annotations/{name}: no image for {_some(lone)}", "restore the images or remove these")


def _suffixes(name: str, split: Split, classes: int) -> Iterator[Problem]:
    suffix = image_suffix(classes)
    if others := [stem for stem, path in split.images.items() if path.suffix != suffix]:
        what = f"images/{name}: with {classes} classes images are {suffix} files, {_some(others)} are not"
        yield Problem(what, f"convert them to {suffix}")


def _irregular(split: Split) -> Iterator[Problem]:
    for path in (*split.images.values(), *split.annotations.values()):
        if not path.is_file():
            yield Problem(f"{path} is no regular file", "restore it")


def departures(root: Path) -> Iterator[str]:
    """How the numbers of images differ from ADE20K's, unless we wrote the data."""
    for name, expected in SPLITS.items():
        count = len(split_of(root, name).images)
        if count != expected and not (root / DEMO_FILE).is_file():
            yield f"{count:,} {name} images (ADE20K: {expected:,})"


def _content(split: Split, classes: int) -> Iterator[Problem]:
    for stem in _spread(sorted(split.images.keys() & split.annotations.keys())):
        image, annotation = split.images[stem], split.annotations[stem]
        try:
            yield from _pair(image, annotation, classes)
        except UnreadableImage as error:
            yield Problem(f"{stem}: image or annotation cannot be read ({one_line(error)})", "restore both files")


def _pair(image: Path, annotation: Path, classes: int) -> Iterator[Problem]:
    with opened(image) as picture, opened(annotation) as labels:
        picture.load()
        mode, size, values = labels.mode, labels.size, np.unique(np.asarray(labels))
    if mode not in ("L", "P"):
        what = f"{annotation} is a {mode} image, not one label per pixel"
        yield Problem(what, "use ADEChallengeData2016's annotations, not the full ADE20K's")
        return
    if picture.size != size:
        sizes = " x ".join(map(str, size)), " x ".join(map(str, picture.size))
        yield Problem(f"{annotation} is {sizes[0]}, its image {sizes[1]}", "restore both files")
    # 0 ("other") and 255 are both ignored.
    if (strange := values[(values > classes) & (values != IGNORED)]).size:
        what = f"{annotation} has label {strange[0]}, but there are {classes} classes"
        yield Problem(what, f"use annotations with labels 0 to {classes}, or correct {CLASS_FILE}")


def _spread(stems: Sequence[str]) -> list[str]:
    step = max(1, len(stems) // OPENED)
    return list(stems[::step])


def _some(stems: Sequence[str]) -> str:
    more = f" and {len(stems) - SHOWN:,} more" if len(stems) > SHOWN else ""
    return ", ".join(stems[:SHOWN]) + more
