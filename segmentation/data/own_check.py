"""What is wrong with images and masks of one's own, and what was recognised of them."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

from crossmae.data.decode import UnreadableImage, opened
from crossmae.errors import UserError
from segmentation.data.own import GREY, IGNORED, RULE, OwnMasks, Pairs, has_test, labels_of, read_own
from transfer.task import Problem

OPENED = 500
"""Pairs of a split whose content is looked at, spread evenly; names are all compared."""
_LOSSY = (".jpg", ".jpeg", ".webp")


def check_own(root: Path, options: Mapping[str, str]) -> Iterator[Problem]:
    """Everything wrong with the data at ``root``."""
    try:
        data = read_own(root, options)
    except UserError as error:
        yield Problem(error.what, error.remedy)
        return
    faults = [fault for pairs in data.splits.values() for fault in _faults(pairs)]
    yield from faults
    if not faults:
        yield from _labels(data)


def describe_own(root: Path, options: Mapping[str, str]) -> Iterator[str]:
    """What was recognised: classes, images of each split, what becomes of label 0."""
    data = read_own(root, options)
    counts = " and ".join(f"{len(pairs.names):,} {split} images" for split, pairs in data.splits.items())
    zero = "label 0 is a class" if data.keep_zero else "label 0 is ignored"
    held = "" if data.given else f" ({RULE})"
    names = ", ".join(data.classes[:4]) + (", ..." if len(data.classes) > 4 else "")
    if not data.given and has_test(root):
        yield f"{root}: test is left alone, a part of train is held out; val: test would be taken instead"
    yield f"{root}: {len(data.classes)} classes ({names}), {zero}, 255 is ignored; {counts}{held}"


def _faults(pairs: Pairs) -> Iterator[Problem]:
    images, masks = pairs.folders
    if not pairs.names:
        yield Problem(f"{images} has no image with a mask", "add some, or take the split away: a part is held out then")
    if bare := sorted(pairs.images.keys() - pairs.masks.keys()):
        yield Problem(f"{images}: no mask for {_some(bare)}", f"add them to {masks}, or remove the images")
    if lone := sorted(pairs.masks.keys() - pairs.images.keys()):
        yield Problem(f"{masks}: no image for {_some(lone)}", f"add them to {images}, or remove the masks")
    if lossy := [path.name for path in pairs.masks.values() if path.suffix.lower() in _LOSSY]:
        yield Problem(f"{masks}: {_some(lossy)} are JPEG or WebP, which change labels", "save masks as PNG")
    # One line for each kind of fault, with examples.
    found: dict[tuple[str, str], list[str]] = {}
    for name in pairs.names[:: max(1, len(pairs.names) // OPENED)]:
        if fault := _fault(pairs.images[name], pairs.masks[name]):
            found.setdefault(fault, []).append(name)
    for (what, remedy), names in found.items():
        yield Problem(f"{masks.parent}: {_some(names)} {what}", remedy)


def _fault(image: Path, mask: Path) -> tuple[str, str] | None:
    try:
        with opened(image) as picture:
            picture.load()
            size, way_up = picture.size, picture.getexif().get(ExifTags.Base.Orientation, 1)
    except UnreadableImage as error:
        return f"cannot be read as images ({error})", "copy them again"
    try:
        with opened(mask) as labels:
            labels.load()
            wrong = _wrong_mode(labels)
            other = labels.size != size
    except UnreadableImage as error:
        return f"cannot be read as masks ({error})", "copy them again"
    if wrong:
        return wrong
    if other:
        return "have masks of another size than the image", "resize the masks without interpolation"
    if way_up != 1:
        return "are turned by an EXIF orientation, their masks are not", "write the images upright, without EXIF"
    return None


def _wrong_mode(labels: Image.Image) -> tuple[str, str] | None:
    if labels.mode in GREY:
        return None
    kind = "16 or 32 bits" if labels.mode.startswith(("I", "F")) else f"colours ({labels.mode})"
    return f"have masks of {kind}, not one 8-bit label per pixel", "save them as 8-bit grey or palette PNG"


def _labels(data: OwnMasks) -> Iterator[Problem]:
    if len(data.classes) < 2:
        yield Problem(f"{data.root}: the masks hold one class only", "a second label is needed; 255 is ignored")
        return
    least, most = (0, len(data.classes) - 1) if data.keep_zero else (1, len(data.classes))
    if data.said:
        for pairs in data.splits.values():
            for name in pairs.names[:: max(1, len(pairs.names) // OPENED)]:
                values = labels_of(pairs.masks[name])
                if (strange := values[(values > most) & (values != IGNORED)]).size:
                    what = f"{pairs.masks[name]} has label {strange[0]}, but the classes are {least} to {most}"
                    yield Problem(what, "name more classes, or correct the mask")
                    return
    train = data.splits["training"]
    values = np.unique(np.concatenate([labels_of(train.masks[name]) for name in train.names[:OPENED]]))
    if not ((values >= least) & (values <= most)).any():
        yield Problem(f"{train.folders[1]}: every pixel is ignored", "set background: keep, or correct the masks")


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3:,} more" if len(names) > 3 else "")
