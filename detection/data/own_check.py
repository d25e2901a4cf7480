"""What is wrong with data of one's own in COCO's format, and what was recognised of it."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from crossmae.errors import UserError
from detection.data.check import missing_images, pictures, some
from detection.data.own import REMEDY, RULE, Part, file_called_test, read_own
from transfer.task import Problem

_OUTSIDE = 2.0
"""Pixels that a box may reach beyond its image: annotators round."""


def check_own(root: Path, options: Mapping[str, str]) -> Iterator[Problem]:
    """Everything wrong with the data at ``root``."""
    try:
        data = read_own(root, options)
    except UserError as error:
        yield Problem(error.what, error.remedy or REMEDY)
        return
    faulty = False
    for part in data.parts.values() if data.given else (data.train,):
        faults = [*_faults(part, options.get("masks") != "no")]
        yield from faults
        if not faults:
            yield from missing_images(part.content, part.images)
            yield from pictures(part.content["images"], part.images)
        faulty |= bool(faults)
    if not faulty and data.train.categories != data.val.categories:
        differing = sorted({*data.train.categories.items()} ^ {*data.val.categories.items()})
        what = f"{data.val.file} has other categories than {data.train.file} ({differing[0][0]}: {differing[0][1]})"
        yield Problem(what, "give both files the same list")


def describe_own(root: Path, options: Mapping[str, str]) -> Iterator[str]:
    """What was recognised, and categories that a split has no object of."""
    data = read_own(root, options)
    counts = [f"{len(part.content['images']):,} {split} images" for split, part in data.parts.items()]
    things = sum(len(part.content["annotations"]) for part in data.parts.values())
    held = "" if data.given else f" ({RULE})"
    kind = "boxes and masks" if data.masks else "boxes alone"
    if not data.given and (test := file_called_test(root)):
        yield f"{root}: {test} is left alone, a part of train is held out; val: {test} would be taken instead"
    yield f"{root}: {len(data.train.categories)} categories, {' and '.join(counts)}{held}, {things:,} {kind}"
    for split, part in data.parts.items():
        empty = len(part.content["images"]) - len({thing["image_id"] for thing in part.content["annotations"]})
        absent = part.categories.keys() - {thing["category_id"] for thing in part.content["annotations"]}
        if empty:
            yield f"{root}: {empty} {split} images without an object"
        if absent:
            yield f"{root}: no {split} object of {', '.join(part.categories[key] for key in sorted(absent)[:3])}"


def _faults(part: Part, masks: bool) -> Iterator[Problem]:
    content, file = part.content, part.file
    images, things = {image["id"]: image for image in content["images"]}, content["annotations"]
    for what, keys in (
        ("image ids", [image["id"] for image in content["images"]]),
        ("file names", [str(image["file_name"]) for image in content["images"]]),
        ("annotation ids", [thing["id"] for thing in things]),
        ("category ids", [entry["id"] for entry in content["categories"]]),
        ("category names", [str(entry.get("name", entry["id"])) for entry in content["categories"]]),
    ):
        if twice := [key for key, times in Counter(keys).items() if times > 1]:
            yield Problem(f"{file}: {what} {some(twice)} are used twice", "give each its own")
    if not things:
        yield Problem(f"{file} has no annotations", "an AP needs objects")
    groups = {
        "name images that it does not list": [thing for thing in things if thing["image_id"] not in images],
        "have an unknown category": [thing for thing in things if thing["category_id"] not in part.categories],
        "have a box without area": [thing for thing in things if not min(thing["bbox"][2:]) > 0],
        "have a box outside their image": [
            thing
            for thing in things
            if thing["image_id"] in images and _leaves(thing["bbox"], images[thing["image_id"]])
        ],
    }
    for what, wrong in groups.items():
        if wrong:
            yield Problem(f"{file}: annotations {some([thing['id'] for thing in wrong])} {what}", "mend or remove them")
    outlined = [thing for thing in things if thing.get("segmentation")]
    if masks and outlined and len(outlined) < sum(not thing.get("iscrowd") for thing in things):
        bare = [thing["id"] for thing in things if not thing.get("segmentation")]
        remedy = 'outline them too, or use boxes alone: options: {masks: "no"} in a task file'
        yield Problem(f"{file}: annotations {some(bare)} have no mask and the others have", remedy)
    if masks and (wrong := [thing for thing in outlined if not _is_mask(thing["segmentation"])]):
        ids = some([thing["id"] for thing in wrong])
        yield Problem(f"{file}: annotations {ids} have a mask that is no polygon of three points or RLE", "mend them")


def _leaves(box: list[float], image: Mapping[str, Any]) -> bool:
    left, top, width, height = box
    inside = left >= -_OUTSIDE and top >= -_OUTSIDE
    return not (inside and left + width <= image["width"] + _OUTSIDE and top + height <= image["height"] + _OUTSIDE)


def _is_mask(mask: Any) -> bool:
    if isinstance(mask, dict):
        return {"counts", "size"} <= mask.keys()
    return isinstance(mask, list) and all(
        isinstance(outline, list)
        and len(outline) >= 6
        and len(outline) % 2 == 0
        and all(isinstance(value, int | float) and math.isfinite(value) for value in outline)
        for outline in mask
    )
