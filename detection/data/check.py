"""What is wrong with a COCO 2017 folder, reported before a run meets it."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from crossmae.data.decode import UnreadableImage, opened
from crossmae.errors import UserError
from crossmae.parsing import read_json
from detection.data.layout import MASKS_NEEDED, NO_MASKS, SPLITS, annotation_file, image_folder
from transfer.task import Problem

_KEYS = ("id", "image_id", "category_id")
_LARGEST = 1e9
"""Pixels; no box reaches as far."""
LISTS = ("images", "annotations", "categories")
FETCH = "unpack COCO 2017 (train2017.zip, val2017.zip, annotations_trainval2017.zip) there"
OPENED = 200
"""Images per split that are decoded, spread evenly; names are all compared."""


def check_coco(data_root: Path) -> Iterator[Problem]:
    """Every problem of both splits, at once."""
    if not data_root.is_dir():
        yield Problem(f"{data_root} is missing", FETCH)
        return
    for split in SPLITS:
        yield from _check_split(data_root, split)


def _check_split(data_root: Path, split: str) -> Iterator[Problem]:
    path, folder = annotation_file(data_root, split), image_folder(data_root, split)
    if not folder.is_dir():
        yield Problem(f"{folder} is missing", FETCH)
    content = _read(path)
    if isinstance(content, Problem):
        yield content
        return
    if folder.is_dir():
        yield from missing_images(content, folder)
        yield from pictures(content["images"], folder)
    yield from _annotations(content, path)


def _read(path: Path) -> dict[str, Any] | Problem:
    if not path.exists():
        return Problem(f"{path} is missing", FETCH)
    try:
        content = read_json(path, "it is cut short or damaged: fetch it again")
    except UserError as error:
        return Problem(error.what, error.remedy)
    wrong = not_instances(content)
    return Problem(f"{path} {wrong}", "put COCO's instances_*.json there") if wrong else content


def not_instances(content: Any, masks: bool = True) -> str | None:
    """What is not as in COCO's instance annotations, with or without masks, as far as the other checks rely on it."""
    if not isinstance(content, dict) or set(LISTS) - set(content):
        return "has no images, annotations and categories, so it is not COCO instance annotations"
    if any(not isinstance(entry, dict) for name in LISTS for entry in _entries(content[name])):
        return "has images, annotations or categories that are no lists of mappings"
    annotations = content["annotations"]
    needed = {"id", "bbox", "category_id", "image_id", *(("segmentation",) if masks else ())}
    if any(needed - set(annotation) for annotation in annotations):
        lacking = "box, mask or category" if masks else "box or category"
        return f"has annotations without {lacking}, so it is the file of another data set or task"
    if any({"id", "file_name", "height", "width"} - set(image) for image in content["images"]):
        return "has images without file name and size, so it is the file of another data set"
    if any("id" not in category for category in content["categories"]):
        return "has categories without a number"
    if any(not _is_box(annotation["bbox"]) for annotation in annotations):
        return "has boxes that are not four numbers"
    entries = (entry for name in LISTS for entry in content[name])
    if any(not isinstance(entry.get(key, 0), int | str) for entry in entries for key in _KEYS):
        return "has ids that are neither numbers nor words"
    return None


def _entries(value: Any) -> list[Any]:
    """The entries of a list; of anything else, one that is no mapping."""
    return value if isinstance(value, list) else [None]


def _is_box(box: Any) -> bool:
    return isinstance(box, list) and len(box) == 4 and all(_is_finite(number) for number in box)


def _is_finite(number: Any) -> bool:
    return isinstance(number, int | float) and abs(number) < _LARGEST


def missing_images(content: dict[str, Any], folder: Path) -> Iterator[Problem]:
    """Images that are annotated and not there."""
    present = {path.name for path in folder.iterdir()}
    names = [str(image["file_name"]) for image in content["images"]]
    # One listing answers for nearly all; a name may also have a folder of its own.
    missing = sorted(name for name in names if name not in present and not ("/" in name and _lies_there(folder / name)))
    if missing:
        yield Problem(f"{folder} lacks {some(missing)} of the annotated images", "unpack its archive again")


def _lies_there(path: Path) -> bool:
    return os.path.exists(path)  # noqa: PTH110 - False, and no error, for a name that no file can have


def pictures(images: list[dict[str, Any]], folder: Path) -> Iterator[Problem]:
    """Images of a few hundred that cannot be decoded, or have another size than is written."""
    broken, resized = [], []
    for image in images[:: max(1, len(images) // OPENED)]:
        path = folder / str(image["file_name"])
        if not _lies_there(path):
            continue  # named with the missing ones
        try:
            with opened(path) as picture:
                picture.load()
                if picture.size != (image["width"], image["height"]):
                    resized.append(image["file_name"])
        except UnreadableImage:
            broken.append(image["file_name"])
    if broken:
        yield Problem(f"{folder}: {some(broken)} images cannot be read", "copy them again")
    if resized:
        what = f"{folder}: {some(resized)} images have another size than their annotations say"
        yield Problem(what, "copy them again, or correct width and height")


def _annotations(content: dict[str, Any], path: Path) -> Iterator[Problem]:
    annotations = content["annotations"]
    images = {image["id"] for image in content["images"]}
    categories = {category["id"] for category in content["categories"]}
    if not annotations:
        yield Problem(f"{path} has no annotations", "an AP needs objects: fetch it again")
    homeless = [thing["id"] for thing in annotations if thing["image_id"] not in images]
    if homeless:
        yield Problem(f"{path}: {some(homeless)} annotations name images that it does not list", "fetch it again")
    unknown = [thing["id"] for thing in annotations if thing["category_id"] not in categories]
    if unknown:
        yield Problem(f"{path}: {some(unknown)} annotations have an unknown category", "fetch it again")
    flat = [thing["id"] for thing in annotations if min(thing["bbox"][2:]) <= 0]
    if flat:
        yield Problem(f"{path}: {some(flat)} boxes have no area", "training leaves them out; mend or remove them")
    maskless = [thing["id"] for thing in annotations if not thing["segmentation"]]
    if maskless:
        yield Problem(f"{path} {NO_MASKS}: {some(maskless)} of {len(annotations)}", MASKS_NEEDED)
    twice = [key for key, times in Counter(thing["id"] for thing in annotations).items() if times > 1]
    if twice:
        yield Problem(
            f"{path}: annotation ids {some(twice)} are used twice", "detectron2 refuses such a file: fetch it again"
        )


def some(items: list[Any]) -> str:
    """``3 (a, b, c)``, with at most three examples."""
    shown = ", ".join(str(item) for item in items[:3])
    return f"{len(items)} ({shown}{', ...' if len(items) > 3 else ''})"
