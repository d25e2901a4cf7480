"""2,000 JPEGs of the size and quality of ImageNet's, cut out of real photographs.

They come with packages of the benchmarks' own environment: scikit-image (public domain and CC0), scikit-learn (CC-BY).
"""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

COUNT = 2000
CLASSES = 20
SIZE = (500, 375)
"""Width and height of ImageNet's commonest format; every fourth photo is upright."""
QUALITY = 95

PHOTOS = {
    "skimage": ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "hubble_deep_field.jpg", "retina.jpg"),
    "sklearn": ("china.jpg", "flower.jpg"),
}
FOLDERS = {"skimage": "data", "sklearn": "datasets/images"}


def write_photos(folder: Path) -> None:
    """Writes ``folder/train/CLASS/NUMBER.jpg``; leaves a folder that is there."""
    if folder.exists():
        return
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    photos = [Image.open(path).convert("RGB") for path in _paths()]
    random = np.random.default_rng(0)
    for number in range(COUNT):
        path = unfinished / "train" / f"class_{number % CLASSES:02d}" / f"{number:04d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        _cut(photos[number % len(photos)], random, upright=number % 4 == 3).save(path, quality=QUALITY)
    unfinished.rename(folder)


def _paths() -> list[Path]:
    photos = []
    for package, names in PHOTOS.items():
        spec = find_spec(package)
        assert spec, f"{package} is not installed"
        photos += [Path(spec.origin or "").parent / FOLDERS[package] / name for name in names]
    return photos


def _cut(photo: Image.Image, random: np.random.Generator, upright: bool) -> Image.Image:
    size = SIZE[::-1] if upright else SIZE
    share = random.uniform(0.7, 1.0) * min(photo.width / size[0], photo.height / size[1])
    width, height = size[0] * share, size[1] * share
    left, top = random.uniform(0, photo.width - width), random.uniform(0, photo.height - height)
    box = (left, top, left + width, top + height)
    cut = photo.resize(size, Image.Resampling.LANCZOS, box=box)
    return ImageOps.mirror(cut) if random.random() < 0.5 else cut
