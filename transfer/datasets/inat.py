"""iNaturalist 2019: ``train2019.json``, ``val2019.json`` and the images that they name (``train_val2019/...``)."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from crossmae.errors import UserError
from transfer.datasets.labelled import LabelledImages
from transfer.datasets.reader import Reader, Size

_KEYS = ("images", "annotations", "categories")
_OTHER_YEARS = {5089: "iNaturalist 2017", 8142: "iNaturalist 2018", 10000: "iNaturalist 2021"}


class INaturalist2019(Reader):
    """COCO-style JSON with one category per image; classes are numbered in the order of the category ids."""

    published = Size(classes=1010, train=265_213, val=3_030)

    def read(self, root: Path, split: str) -> LabelledImages:
        """Lists the images of ``root/{split}2019.json``."""
        path = root / f"{split}2019.json"
        content = _load(path)
        ids = sorted(category["id"] for category in content["categories"])
        _refuse_other_years(path, len(ids))
        index = {category: i for i, category in enumerate(ids)}
        names = {category["id"]: str(category["name"]) for category in content["categories"]}
        labels = _labels(path, content, index)
        files = tuple(str(image["file_name"]) for image in content["images"])
        return LabelledImages(root, files, labels, tuple(f"{i}: {names[i]}" for i in ids))


def _load(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise UserError(f"{path} does not exist; unpack train2019.json and val2019.json beside train_val2019")
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not readable JSON ({error}); download it again") from error
    absent = [key for key in _KEYS if not isinstance(content, dict) or not isinstance(content.get(key), list)]
    if absent:
        raise UserError(f"{path} has no list {', '.join(absent)}; this is not an iNaturalist annotation file")
    if any("bbox" in annotation for annotation in content["annotations"][:100]):
        raise UserError(f"{path} holds boxes, so it is of a detection data set; put iNaturalist 2019's file there")
    return content


def _refuse_other_years(path: Path, categories: int) -> None:
    if other := _OTHER_YEARS.get(categories):
        raise UserError(f"{path} has {categories:,} categories as {other}; put iNaturalist 2019's file there")


def _labels(path: Path, content: Mapping[str, Any], index: Mapping[int, int]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Labels in the order of ``content["images"]``."""
    try:
        category = {annotation["image_id"]: annotation["category_id"] for annotation in content["annotations"]}
        labels = [index[category[image["id"]]] for image in content["images"]]
    except KeyError as error:
        raise UserError(f"{path}: image, category or field {error} is not there; download it again") from error
    if len(content["annotations"]) != len(labels):
        counts = f"{len(content['annotations']):,} annotations for {len(labels):,} images"
        raise UserError(f"{path} has {counts}; iNaturalist 2019 has one for each, put its file there")
    return np.array(labels, np.int64)
