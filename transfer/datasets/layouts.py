"""The layouts of labelled images that people have on disk: ImageNet's folders, iNaturalist 2019, Places365.

ImageNet: ``train/CLASS/*.JPEG`` and ``val/CLASS/*.JPEG``.

iNaturalist 2019: ``train2019.json``, ``val2019.json`` and the images that they name (``train_val2019/...``).

Places365, standard: ``categories_places365.txt``, ``places365_train_standard.txt``, ``places365_val.txt``, the training
images in ``data_256/`` (as the archive unpacks) or ``data_256_standard/`` (as torchvision renames it), the validation
images in ``val_256/``. Places365, small-easyformat: ``train/CLASS/`` and ``val/CLASS/``, perhaps below
``places365_standard/``.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossmae.data.names import is_image
from crossmae.data.open import entries, is_folder
from crossmae.errors import UserError
from transfer.datasets.labelled import LabelledImages
from transfer.datasets.own import OwnImages
from transfer.datasets.reader import Reader, Size

_SORTING = (
    "sort it into one folder per class: for every line of ILSVRC2012_validation_ground_truth.txt move the image "
    "ILSVRC2012_val_<line number, 8 digits>.JPEG to val/<WNID of that ILSVRC2012_ID in meta.mat>/"
)
_INAT_KEYS = ("images", "annotations", "categories")
_OTHER_YEARS = {5089: "iNaturalist 2017", 8142: "iNaturalist 2018", 10000: "iNaturalist 2021"}
_CATEGORIES = "categories_places365.txt"
_LISTS = {"train": "places365_train_standard.txt", "val": "places365_val.txt"}
_FOLDERS = {"train": ("data_256_standard", "data_256"), "val": ("val_256",)}


class ImageFolder(Reader):
    """One folder per class; classes are numbered in the order of their names, as everywhere in the field."""

    published = Size(classes=1000, train=1_281_167, val=50_000)

    def read(self, root: Path, split: str) -> LabelledImages:
        """Lists ``root/split``."""
        folder = root / split
        if not is_folder(folder):
            raise UserError(
                f"{folder} does not exist", f"{root} needs the folders train and val, each with one per class"
            )
        classes = sorted(name for name in entries(folder)[0] if name[0] != ".")
        if not classes:
            self._refuse_flat(folder)
        files, labels = [], []
        for label, name in enumerate(classes):
            images = sorted(filter(is_image, entries(folder / name)[1]))
            files += [f"{split}/{name}/{file}" for file in images]
            labels += [label] * len(images)
        return LabelledImages(root, tuple(files), np.array(labels, np.int64), tuple(classes))

    @staticmethod
    def _refuse_flat(folder: Path) -> None:
        count = sum(map(is_image, entries(folder)[1]))
        if not count:
            raise UserError(f"{folder} is empty", "it needs one folder of images per class")
        what = f"{folder} is flat: {count:,} images and no class folders"
        raise UserError(what, _SORTING if folder.name == "val" else "it needs one folder per class")


class INaturalist2019(Reader):
    """COCO-style JSON with one category per image; classes are numbered in the order of the category ids."""

    published = Size(classes=1010, train=265_213, val=3_030)

    def read(self, root: Path, split: str) -> LabelledImages:
        """Lists the images of ``root/{split}2019.json``."""
        path = root / f"{split}2019.json"
        content = _read_json(path)
        try:
            names = {category["id"]: str(category["name"]) for category in content["categories"]}
            _refuse_other_years(path, len(names))
            ids = sorted(names)
            labels = _inat_labels(path, content, {category: i for i, category in enumerate(ids)})
            files = tuple(str(image["file_name"]) for image in content["images"])
        except (KeyError, TypeError) as error:
            raise UserError(f"{path}: image, category or field {error} is not there", "download it again") from error
        return LabelledImages(root, files, labels, tuple(f"{i}: {names[i]}" for i in ids))


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise UserError(f"{path} does not exist", "unpack train2019.json and val2019.json next to train_val2019")
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not readable JSON ({error})", "download it again") from error
    absent = [key for key in _INAT_KEYS if not isinstance(content, dict) or not isinstance(content.get(key), list)]
    if absent:
        raise UserError(f"{path} has no list {', '.join(absent)}", "this is not an iNaturalist annotation file")
    if any("bbox" in annotation for annotation in content["annotations"][:100]):
        raise UserError(f"{path} holds boxes, so it is of a detection data set", "put iNaturalist 2019's file there")
    return content


def _refuse_other_years(path: Path, categories: int) -> None:
    if other := _OTHER_YEARS.get(categories):
        raise UserError(f"{path} has {categories:,} categories as {other}", "put iNaturalist 2019's file there")


def _inat_labels(path: Path, content: Mapping[str, Any], index: Mapping[int, int]) -> NDArray[np.int64]:
    """Labels in the order of ``content["images"]``."""
    category = {annotation["image_id"]: annotation["category_id"] for annotation in content["annotations"]}
    labels = [index[category[image["id"]]] for image in content["images"]]
    if len(content["annotations"]) != len(labels):
        counts = f"{len(content['annotations']):,} annotations for {len(labels):,} images"
        raise UserError(f"{path} has {counts}", "iNaturalist 2019 has one for each, put its file there")
    return np.array(labels, np.int64)


class Places365(Reader):
    """Takes whichever of the two layouts is there; the lists win."""

    published = Size(classes=365, train=1_803_460, val=36_500)

    def read(self, root: Path, split: str) -> LabelledImages:
        """Lists ``split`` of the 256-pixel images."""
        if not (root / _CATEGORIES).is_file() and not (root / _LISTS[split]).is_file():
            for folder in (root, root / "places365_standard"):
                if is_folder(folder / "train"):
                    return ImageFolder().read(folder, split)
        return _read_list(root, split)


def _read_list(root: Path, split: str) -> LabelledImages:
    categories = dict(_pairs(root / _CATEGORIES))
    classes = tuple(sorted(categories, key=categories.__getitem__))
    if [categories[name] for name in classes] != list(range(len(classes))):
        raise UserError(f"{root / _CATEGORIES} does not number its classes 0, 1, ...", "unpack the file lists again")
    folder = _image_folder(root, split)
    pairs = _pairs(root / _LISTS[split])
    labels = np.array([label for _, label in pairs], np.int64)
    if len(labels) and not 0 <= labels.min() <= labels.max() < len(classes):
        raise UserError(f"{root / _LISTS[split]} names classes that {_CATEGORIES} does not", "unpack both lists again")
    # Listed paths begin with "/" (of the archive's root): joined as they are, they would leave the data folder.
    return LabelledImages(root, tuple(f"{folder}/{path.lstrip('/')}" for path, _ in pairs), labels, classes)


def _image_folder(root: Path, split: str) -> str:
    for name in _FOLDERS[split]:
        if is_folder(root / name):
            return name
    raise UserError(f"{root} has no folder {' or '.join(_FOLDERS[split])}", "unpack the 256 x 256 images there")


def _pairs(path: Path) -> list[tuple[str, int]]:
    if not path.is_file():
        raise UserError(f"{path} does not exist", "unpack filelist_places365-standard.tar there")
    pairs = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is no text ({error})", "unpack the file lists again") from error
    for number, line in enumerate(lines, start=1):
        name, _, label = line.rpartition(" ")
        if not name or not label.isdigit():
            raise UserError(f"{path} line {number} is not 'path label': {line[:60]!r}", "unpack the file lists again")
        pairs.append((name, int(label)))
    return pairs


READERS: Mapping[str, type[Reader]] = {
    "imagenet": ImageFolder,
    "inat19": INaturalist2019,
    "places365": Places365,
    "own": OwnImages,
}
"""By the name that a task's ``options: {reader: ...}`` gives."""


def reader_of(options: Mapping[str, str]) -> Reader:
    """The reader that the ``options`` of a task name.

    Raises:
        UserError: there is none of that name.
    """
    name = options.get("reader")
    if name is None or name not in READERS:
        remedy = f"the task's options: {{reader: ...}} takes {', '.join(READERS)}"
        raise UserError(f"no reader {name!r} of labelled images", remedy)
    return READERS[name](options)
