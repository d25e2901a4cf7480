"""ImageNet's layout: ``train/CLASS/*.JPEG`` and ``val/CLASS/*.JPEG``."""

from pathlib import Path

import numpy as np

from crossmae.data.images import is_image
from crossmae.data.open import entries, is_folder
from crossmae.errors import UserError
from transfer.datasets.labelled import LabelledImages
from transfer.datasets.reader import Reader, Size

_SORTING = (
    "sort it into one folder per class: for every line of ILSVRC2012_validation_ground_truth.txt move the image "
    "ILSVRC2012_val_<line number, 8 digits>.JPEG to val/<WNID of that ILSVRC2012_ID in meta.mat>/"
)


class ImageFolder(Reader):
    """One folder per class; classes are numbered in the order of their names, as everywhere in the field."""

    published = Size(classes=1000, train=1_281_167, val=50_000)

    def read(self, root: Path, split: str) -> LabelledImages:
        """Lists ``root/split``."""
        folder = root / split
        if not is_folder(folder):
            raise UserError(f"{folder} does not exist; {root} needs the folders train and val, each with one per class")
        classes = sorted(name for name in entries(folder)[0] if name[0] != ".")
        if not classes:
            self._refuse_flat(folder)
        files, labels = [], []
        for label, name in enumerate(classes):
            found = sorted(filter(is_image, entries(folder / name)[1]))
            files += [f"{split}/{name}/{file}" for file in found]
            labels += [label] * len(found)
        return LabelledImages(root, tuple(files), np.array(labels, np.int64), tuple(classes))

    @staticmethod
    def _refuse_flat(folder: Path) -> None:
        count = sum(map(is_image, entries(folder)[1]))
        if not count:
            raise UserError(f"{folder} is empty; it needs one folder of images per class")
        what = f"{folder} is flat: {count:,} images and no class folders"
        raise UserError(f"{what}; {_SORTING if folder.name == 'val' else 'it needs one folder per class'}")
