"""Places365: the standard 256 lists and folders in both spellings, and the small-easyformat archive.

Standard: ``categories_places365.txt``, ``places365_train_standard.txt``, ``places365_val.txt``, the training images in
``data_256/`` (as the archive unpacks) or ``data_256_standard/`` (as torchvision renames it), the validation images in
``val_256/``. Small-easyformat: ``train/CLASS/`` and ``val/CLASS/``, perhaps below ``places365_standard/``.
"""

from pathlib import Path

import numpy as np

from crossmae.data.open import is_folder
from crossmae.errors import UserError
from transfer.datasets.imagefolder import ImageFolder
from transfer.datasets.labelled import LabelledImages
from transfer.datasets.reader import Reader, Size

_CATEGORIES = "categories_places365.txt"
_LISTS = {"train": "places365_train_standard.txt", "val": "places365_val.txt"}
_FOLDERS = {"train": ("data_256_standard", "data_256"), "val": ("val_256",)}


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
        raise UserError(f"{root / _CATEGORIES} does not number its classes 0, 1, ...; unpack the file lists again")
    folder = _image_folder(root, split)
    pairs = _pairs(root / _LISTS[split])
    labels = np.array([label for _, label in pairs], np.int64)
    if len(labels) and not 0 <= labels.min() <= labels.max() < len(classes):
        raise UserError(f"{root / _LISTS[split]} names classes that {_CATEGORIES} does not; unpack both lists again")
    # Listed paths begin with "/" (of the archive's root): joined as they are, they would leave the data folder.
    return LabelledImages(root, tuple(f"{folder}/{path.lstrip('/')}" for path, _ in pairs), labels, classes)


def _image_folder(root: Path, split: str) -> str:
    for name in _FOLDERS[split]:
        if is_folder(root / name):
            return name
    raise UserError(f"{root} has no folder {' or '.join(_FOLDERS[split])}; unpack the 256 x 256 images there")


def _pairs(path: Path) -> list[tuple[str, int]]:
    if not path.is_file():
        raise UserError(f"{path} does not exist; unpack filelist_places365-standard.tar there")
    pairs = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        name, _, label = line.rpartition(" ")
        if not name or not label.isdigit():
            raise UserError(f"{path} line {number} is not 'path label': {line[:60]!r}; unpack the file lists again")
        pairs.append((name, int(label)))
    return pairs
