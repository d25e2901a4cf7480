"""iNaturalist 2017, 2018 and 2019: ``trainYEAR.json``, ``valYEAR.json`` and the images that they name."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossmae.errors import UserError, one_line, printable
from crossmae.parsing import read_json
from transfer.datasets.labelled import LabelledImages, require_possible
from transfer.datasets.reader import Reader, Size

IMAGE_FOLDERS: Mapping[int, str] = {2017: "train_val_images", 2018: "train_val2018", 2019: "train_val2019"}
"""Where the images lie, as their archives unpack."""
_CATEGORIES = {2017: 5_089, 2018: 8_142, 2019: 1_010, 2021: 10_000}
_KEYS = ("images", "annotations", "categories")


class _INaturalist(Reader):
    """COCO-style JSON with one category per image; classes are numbered in the order of the category ids."""

    year: int

    def read(self, root: Path, split: str) -> LabelledImages:
        """Lists the images of ``root/{split}YEAR.json``."""
        path = root / f"{split}{self.year}.json"
        content = _read_json(path, self.year)
        try:
            names = {int(category["id"]): printable(str(category["name"])) for category in content["categories"]}
            _refuse_other_years(path, self.year, len(names))
            ids = sorted(names)
            labels = _labels(path, self.year, content, {category: i for i, category in enumerate(ids)})
            files = tuple(str(image["file_name"]) for image in content["images"])
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            what = f"image, category or field {one_line(error, 60)} is not there or no number"
            raise UserError(f"{path}: {what}", "download it again") from error
        require_possible(path, files)
        return LabelledImages(root, files, labels, tuple(f"{i}: {names[i]}" for i in ids))


class INaturalist2017(_INaturalist):
    """13 kingdoms and orders, a long tail."""

    year = 2017
    published = Size(classes=5_089, train=579_184, val=95_986)


class INaturalist2018(_INaturalist):
    """A long tail; validation has three images of each species."""

    year = 2018
    published = Size(classes=8_142, train=437_513, val=24_426)


class INaturalist2019(_INaturalist):
    """Species that are hard to tell apart; validation has three images of each."""

    year = 2019
    published = Size(classes=1_010, train=265_213, val=3_030)


def _read_json(path: Path, year: int) -> dict[str, Any]:
    if not path.exists():
        what = f"unpack train{year}.json and val{year}.json next to {IMAGE_FOLDERS[year]}"
        raise UserError(f"{path} does not exist", what)
    content: dict[str, Any] = read_json(path, "download it again")
    absent = [key for key in _KEYS if not isinstance(content, dict) or not isinstance(content.get(key), list)]
    if absent:
        raise UserError(f"{path} has no list {', '.join(absent)}", "this is not an iNaturalist annotation file")
    if any(not isinstance(entry, dict) for key in _KEYS for entry in content[key]):
        raise UserError(f"{path} holds entries that are no mappings", "this is not an iNaturalist annotation file")
    if any("bbox" in annotation for annotation in content["annotations"][:100]):
        raise UserError(f"{path} holds boxes, so it is of a detection data set", f"put iNaturalist {year}'s file there")
    return content


def _refuse_other_years(path: Path, year: int, categories: int) -> None:
    other = next((other for other, count in _CATEGORIES.items() if count == categories), year)
    if other != year:
        raise UserError(
            f"{path} has {categories:,} categories as iNaturalist {other}", f"put iNaturalist {year}'s file there"
        )


def _labels(path: Path, year: int, content: Mapping[str, Any], index: Mapping[int, int]) -> NDArray[np.int64]:
    """Labels in the order of ``content["images"]``."""
    category = {annotation["image_id"]: annotation["category_id"] for annotation in content["annotations"]}
    labels = [index[category[image["id"]]] for image in content["images"]]
    if len(content["annotations"]) != len(labels):
        counts = f"{len(content['annotations']):,} annotations for {len(labels):,} images"
        raise UserError(f"{path} has {counts}", f"iNaturalist {year} has one for each, put its file there")
    return np.array(labels, np.int64)
