"""What is wrong with a COCO 2017 folder, said before a run meets it."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from detection.data.layout import SPLITS, annotation_file, image_folder
from transfer.task import Problem

FETCH = "unpack COCO 2017 (train2017.zip, val2017.zip, annotations_trainval2017.zip) there"
PUBLISHED = {"train": (118_287, 860_001), "val": (5_000, 36_781)}
"""Images and annotations of COCO 2017."""
COCO_CATEGORIES = 80
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
        yield from _missing_images(content, folder)
        yield from _pictures(content["images"], folder)
    yield from _annotations(content, path)
    yield from _counts(content, path, split)


def _read(path: Path) -> dict[str, Any] | Problem:
    if not path.is_file():
        return Problem(f"{path} is missing", FETCH)
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        return Problem(f"{path} is not valid JSON ({error})", "it is cut short or damaged: fetch it again")
    wrong = _not_instances(content)
    return Problem(f"{path} {wrong}", "put COCO's instances_*.json there") if wrong else content


def _not_instances(content: Any) -> str | None:
    if not isinstance(content, dict) or {"images", "annotations", "categories"} - set(content):
        return "has no images, annotations and categories, so it is not COCO instance annotations"
    if any({"bbox", "segmentation", "category_id", "image_id"} - set(one) for one in content["annotations"]):
        return "has annotations without box, mask or category, so it is the file of another data set or task"
    if any({"file_name", "height", "width"} - set(one) for one in content["images"]):
        return "has images without file name and size, so it is the file of another data set"
    return None


def _missing_images(content: dict[str, Any], folder: Path) -> Iterator[Problem]:
    present = {path.name for path in folder.iterdir()}
    missing = sorted(image["file_name"] for image in content["images"] if image["file_name"] not in present)
    if missing:
        yield Problem(f"{folder} lacks {_some(missing)} of the annotated images", "unpack its archive again")


def _pictures(images: list[dict[str, Any]], folder: Path) -> Iterator[Problem]:
    broken, resized = [], []
    for image in images[:: max(1, len(images) // OPENED)]:
        try:
            with Image.open(folder / image["file_name"]) as picture:
                picture.load()
                if picture.size != (image["width"], image["height"]):
                    resized.append(image["file_name"])
        except FileNotFoundError:
            continue  # named with the missing ones
        except OSError:
            broken.append(image["file_name"])
    if broken:
        yield Problem(f"{folder}: {_some(broken)} images cannot be read", "unpack its archive again")
    if resized:
        yield Problem(f"{folder}: {_some(resized)} images have another size than their annotations say", FETCH)


def _annotations(content: dict[str, Any], path: Path) -> Iterator[Problem]:
    annotations = content["annotations"]
    images = {image["id"] for image in content["images"]}
    categories = {category["id"] for category in content["categories"]}
    homeless = [one["id"] for one in annotations if one["image_id"] not in images]
    if homeless:
        yield Problem(f"{path}: {_some(homeless)} annotations name images that it does not list", "fetch it again")
    unknown = [one["id"] for one in annotations if one["category_id"] not in categories]
    if unknown:
        yield Problem(f"{path}: {_some(unknown)} annotations have an unknown category", "fetch it again")
    flat = [one["id"] for one in annotations if len(one["bbox"]) != 4 or min(one["bbox"][2:]) <= 0]
    if flat:
        yield Problem(f"{path}: {_some(flat)} boxes have no area", "training leaves them out; mend or remove them")
    twice = [key for key, times in Counter(one["id"] for one in annotations).items() if times > 1]
    if twice:
        yield Problem(
            f"{path}: annotation ids {_some(twice)} are used twice", "detectron2 refuses such a file: fetch it again"
        )


def _counts(content: dict[str, Any], path: Path, split: str) -> Iterator[Problem]:
    """COCO's numbers, where the file has COCO's 80 categories; other data sets in its format have their own."""
    if len(content["categories"]) != COCO_CATEGORIES:
        return
    found = (len(content["images"]), len(content["annotations"]))
    if found != PUBLISHED[split]:
        yield Problem(
            f"{path} has {found[0]:,} images and {found[1]:,} annotations, "
            f"COCO 2017 has {PUBLISHED[split][0]:,} and {PUBLISHED[split][1]:,}",
            "numbers from it are not comparable: fetch it again",
        )


def _some(items: list[Any]) -> str:
    """``3 (a, b, c)``, with at most three examples."""
    shown = ", ".join(str(item) for item in items[:3])
    return f"{len(items)} ({shown}{', ...' if len(items) > 3 else ''})"
