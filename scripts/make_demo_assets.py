"""Makes crossmae/data/demo/assets/ from Fashion-MNIST and scikit-image's sample photographs.

The pictures are committed; this script is here so that anybody can see, and repeat, how they were made:

    apt-get install dataset-fashion-mnist
    pip download --no-deps scikit-image==0.25.2 && unzip scikit_image-*.whl 'skimage/data/*'
    python scripts/make_demo_assets.py /usr/share/datasets/fashion-mnist skimage/data crossmae/data/demo/assets
"""

import gzip
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

CELL = 28
CLASSES = 10
TRAIN_PER_CLASS = 100
VAL_PER_CLASS = 40


@dataclass(frozen=True)
class Photo:
    """One photograph: the file in scikit-image's data folder, and the width and height it is reduced to, in pixels."""

    file: str
    name: str
    size: tuple[int, int]
    crop: tuple[int, int, int, int] | None = None
    """Left, upper, right and lower edge of the part that is used, in the file's pixels."""
    across: bool = True
    """Whether training has the left part and validation the right one, or the upper and the lower part."""


PHOTOS = (
    Photo("brick.png", "brick", (288, 176)),
    Photo("grass.png", "grass", (288, 176)),
    Photo("gravel.png", "gravel", (288, 176)),
    Photo("chelsea.png", "fur", (240, 160)),
    Photo("coffee.png", "coffee", (240, 160)),
    Photo("hubble_deep_field.jpg", "stars", (288, 176)),
    Photo("retina.jpg", "retina", (160, 208), crop=(250, 150, 1160, 1261), across=False),
    Photo("rocket.jpg", "sky", (240, 160)),
)
"""All eight are CC0 or in the public domain, as scikit-image's documentation states (demo_assets/README.md)."""

TRAIN_SHARE, GAP = 0.55, 0.05


def main(fashion_mnist: Path, photos: Path, out: Path) -> None:
    """Writes two sheets of cut-outs and two parts of every photograph."""
    out.mkdir(parents=True, exist_ok=True)
    _save(sheet(*read_mnist(fashion_mnist, "train"), TRAIN_PER_CLASS), out / "cutouts_train.png")
    _save(sheet(*read_mnist(fashion_mnist, "t10k"), VAL_PER_CLASS), out / "cutouts_val.png")
    for photo in PHOTOS:
        for split, pixels in parts(photo, Image.open(photos / photo.file)).items():
            _save(pixels, out / f"background_{photo.name}_{split}.png")


def read_mnist(folder: Path, part: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Images (N, 28, 28) and labels (N,) of the idx files of ``part``."""
    images = np.frombuffer(gzip.decompress((folder / f"{part}-images-idx3-ubyte.gz").read_bytes()), np.uint8)
    labels = np.frombuffer(gzip.decompress((folder / f"{part}-labels-idx1-ubyte.gz").read_bytes()), np.uint8)
    return images[16:].reshape(-1, CELL, CELL), labels[8:]


def sheet(images: NDArray[np.uint8], labels: NDArray[np.uint8], per_class: int) -> NDArray[np.uint8]:
    """One row of ``per_class`` cells per class: the first ones of the file."""
    rows = [np.concatenate(images[labels == label][:per_class], axis=1) for label in range(CLASSES)]
    return np.concatenate(rows, axis=0)


def parts(photo: Photo, image: Image.Image) -> dict[str, NDArray[np.uint8]]:
    """The training and the validation part of a photograph: no pixel in common, and a strip between them unused."""
    image = image.crop(photo.crop) if photo.crop else image
    pixels = np.asarray(image.resize(photo.size, Image.Resampling.LANCZOS))
    pixels = pixels if photo.across else pixels.swapaxes(0, 1)
    width = pixels.shape[1]
    cut, start = round(width * TRAIN_SHARE), round(width * (TRAIN_SHARE + GAP))
    split = {"train": pixels[:, :cut], "val": pixels[:, start:]}
    return split if photo.across else {name: part.swapaxes(0, 1) for name, part in split.items()}


def _save(pixels: NDArray[np.uint8], path: Path) -> None:
    Image.fromarray(pixels).save(path, optimize=True)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
