"""The layouts of labelled images that people have on disk: ImageNet's and iNaturalist 2021's folders, Places' lists.

ImageNet: ``train/CLASS/*.JPEG`` and ``val/CLASS/*.JPEG``. iNaturalist 2021: likewise, ``train_mini`` for its small one.

Places205: ``trainvalsplit_places205/train_places205.csv``, ``val_places205.csv`` and the images that they name, below
``data/vision/torralba/deeplearning/images256/``.

Places365, standard: ``categories_places365.txt``, ``places365_train_standard.txt``, ``places365_val.txt``, the training
images in ``data_256/`` (as the archive unpacks) or ``data_256_standard/`` (as torchvision renames it), the validation
images in ``val_256/``. Places365, small-easyformat: ``train/CLASS/`` and ``val/CLASS/``, perhaps below
``places365_standard/``.
"""

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from crossmae.data.names import is_image
from crossmae.data.open import entries, is_folder
from crossmae.errors import UserError, one_line
from crossmae.files import read_regular
from transfer.datasets.inaturalist import INaturalist2017, INaturalist2018, INaturalist2019
from transfer.datasets.labelled import LabelledImages, require_possible
from transfer.datasets.own import OwnImages
from transfer.datasets.reader import Reader, Size
from transfer.datasets.split import TuningPart

_SORTING = (
    "sort it into one folder per class: for every line of ILSVRC2012_validation_ground_truth.txt move the image "
    "ILSVRC2012_val_<line number, 8 digits>.JPEG to val/<WNID of that ILSVRC2012_ID in meta.mat>/"
)
_LABEL = re.compile(r"[0-9]{1,9}")
_CATEGORIES = "categories_places365.txt"
_LISTS = {"train": "places365_train_standard.txt", "val": "places365_val.txt"}
_FOLDERS = {"train": ("data_256_standard", "data_256"), "val": ("val_256",)}
_PLACES205 = "data/vision/torralba/deeplearning/images256"


class ImageFolder(Reader):
    """One folder per class; classes are numbered in the order of their names, as everywhere in the field."""

    published: Size | None = Size(classes=1000, train=1_281_167, val=50_000)
    train_folder = "train"
    sorting = _SORTING
    """What to do about validation images that lie in no class folders."""

    def read(self, root: Path, split: str) -> LabelledImages:
        """Lists the folder of ``split``."""
        name_of_split = self.train_folder if split == "train" else split
        folder = root / name_of_split
        if not is_folder(folder):
            needs = f"{root} needs the folders {self.train_folder} and val, each with one per class"
            raise UserError(f"{folder} does not exist", needs)
        classes = sorted(name for name in entries(folder)[0] if name[0] != ".")
        if not classes:
            self._refuse_flat(folder)
        files, labels = [], []
        for label, name in enumerate(classes):
            images = sorted(filter(is_image, entries(folder / name)[1]))
            files += [f"{name_of_split}/{name}/{file}" for file in images]
            labels += [label] * len(images)
        return LabelledImages(root, tuple(files), np.array(labels, np.int64), tuple(classes))

    def _refuse_flat(self, folder: Path) -> None:
        count = sum(map(is_image, entries(folder)[1]))
        if not count:
            raise UserError(f"{folder} is empty", "it needs one folder of images per class")
        what = f"{folder} is flat: {count:,} images and no class folders"
        raise UserError(what, self.sorting if folder.name == "val" else "it needs one folder per class")


class INaturalist2021(ImageFolder):
    """One folder per species; a folder's name begins with the number of its category, so they sort by it."""

    published = Size(classes=10_000, train=2_686_843, val=100_000)
    sorting = "unpack val.tar.gz again"


class INaturalist2021Mini(INaturalist2021):
    """The same species and validation images, with 50 training images of each."""

    published = Size(classes=10_000, train=500_000, val=100_000)
    train_folder = "train_mini"


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


class Places205(Reader):
    """``trainvalsplit_places205/*.csv``, lines of ``path label``; a class is called as the folder of its images."""

    published = Size(classes=205, train=2_448_873, val=20_500)

    def read(self, root: Path, split: str) -> LabelledImages:
        """Lists ``split`` of the 256-pixel images."""
        path = root / "trainvalsplit_places205" / f"{split}_places205.csv"
        pairs = _pairs(path, archive="trainvalsplit_places205.tar.gz")
        names = {label: file.rpartition("/")[0] for file, label in reversed(pairs)}
        if sorted(names) != list(range(len(names))):
            raise UserError(f"{path} does not number its classes 0, 1, ...", "unpack the file lists again")
        if not is_folder(root / _PLACES205):
            raise UserError(f"{root} has no folder {_PLACES205}", "unpack imagesPlaces205_resize.tar.gz there")
        files = tuple(f"{_PLACES205}/{file.lstrip('/')}" for file, _ in pairs)
        classes = tuple(names[label] for label in range(len(names)))
        return LabelledImages(root, files, np.array([label for _, label in pairs], np.int64), classes)


def _pairs(path: Path, archive: str = "filelist_places365-standard.tar") -> list[tuple[str, int]]:
    if not path.exists():
        raise UserError(f"{path} does not exist", f"unpack {archive} there")
    pairs = []
    try:
        lines = read_regular(path).decode().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is no text ({one_line(error, 100)})", "unpack the file lists again") from error
    for number, line in enumerate(lines, start=1):
        name, _, label = line.rpartition(" ")
        if not name or not _LABEL.fullmatch(label):
            raise UserError(f"{path} line {number} is not 'path label': {line[:60]!r}", "unpack the file lists again")
        pairs.append((name, int(label)))
    require_possible(path, (name for name, _ in pairs))
    return pairs


READERS: Mapping[str, type[Reader]] = {
    "imagenet": ImageFolder,
    "inat17": INaturalist2017,
    "inat18": INaturalist2018,
    "inat19": INaturalist2019,
    "inat21": INaturalist2021,
    "inat21_mini": INaturalist2021Mini,
    "places205": Places205,
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
    reader = READERS[name](options)
    return TuningPart(reader) if "tuning" in options else reader
