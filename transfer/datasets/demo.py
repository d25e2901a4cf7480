"""Demo data in the real formats of the three data sets, which ask different things of the same kind of scenes.

ImageNet-style: which of six garments. iNaturalist: which of all ten, with a long tail. Places: which background, with
garments as distractors.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rich.progress import track

from crossmae.data.demo.scenes import Scene, SceneSource
from crossmae.data.demo.write import save_png
from crossmae.files import whole_folder
from transfer.datasets.inaturalist import IMAGE_FOLDERS
from transfer.datasets.reader import SPLITS, Size

IMAGENET_CLASSES = (1, 2, 3, 7, 8, 9)
"""Trouser, pullover, dress, sneaker, bag, ankle boot."""

IMAGENET_SIZE = Size(classes=6, train=1000, val=1000)
INAT_SIZE = Size(classes=10, train=1000, val=1000)
PLACES_SIZE = Size(classes=8, train=800, val=1000)

INAT_TAIL = 0.8
"""Ratio of a class's training images to those of the class before it."""

IMAGENET_SCENES: Mapping[str, Any] = {"classes": IMAGENET_CLASSES, "objects": (1, 1), "scale": (0.4, 0.7)}
INAT_SCENES: Mapping[str, Any] = {"objects": (1, 1), "scale": (0.4, 0.7)}
PLACES_SCENES: Mapping[str, Any] = {"objects": (2, 4), "scale": (0.5, 0.9)}


def write_imagenet(root: Path, source: SceneSource) -> None:
    """``train/CLASS/*.png`` and ``val/CLASS/*.png``; one garment each."""
    with whole_folder(root) as folder:
        for split in SPLITS:
            scenes = source.draw("imagenet", split, IMAGENET_SIZE.of(split), **IMAGENET_SCENES)
            for name, scene in _numbered(scenes, IMAGENET_SIZE.of(split), f"ImageNet-style demo images ({split})"):
                path = folder / split / source.class_names[scene.objects[0].label] / name
                path.parent.mkdir(parents=True, exist_ok=True)
                save_png(scene.image, path)
        IMAGENET_SIZE.write(folder)


def write_inat(root: Path, source: SceneSource, year: int = 2019) -> None:
    """``train2019.json``, ``val2019.json`` and ``train_val2019/Garments/CATEGORY/HASH.png``; validation is balanced."""
    with whole_folder(root) as folder:
        for split in SPLITS:
            files, labels = [], []
            for name, scene in _inat_scenes(source, split):
                label = scene.objects[0].label
                hashed = hashlib.md5(f"{split}{name}".encode()).hexdigest()
                files.append(f"{IMAGE_FOLDERS[year]}/Garments/{label}/{hashed}.png")
                labels.append(label)
                (folder / files[-1]).parent.mkdir(parents=True, exist_ok=True)
                save_png(scene.image, folder / files[-1])
            content = _inat_json(year, files, labels, source.class_names)
            (folder / f"{split}{year}.json").write_text(json.dumps(content))
        INAT_SIZE.write(folder)


def write_inat21(root: Path, source: SceneSource, train: str = "train") -> None:
    """``train/NUMBER_Garments_CATEGORY/*.png`` and ``val/...``, of the same scenes."""
    with whole_folder(root) as folder:
        for split in SPLITS:
            for name, scene in _inat_scenes(source, split):
                label = scene.objects[0].label
                species = f"{label:05d}_Garments_{source.class_names[label].replace('/', '-')}"
                path = folder / (train if split == "train" else split) / species / name
                path.parent.mkdir(parents=True, exist_ok=True)
                save_png(scene.image, path)
        INAT_SIZE.write(folder)


def _inat_scenes(source: SceneSource, split: str) -> Iterator[tuple[str, Scene]]:
    weights = [INAT_TAIL**label if split == "train" else 1.0 for label in range(10)]
    scenes = source.draw("inat19", split, INAT_SIZE.of(split), class_weights=weights, **INAT_SCENES)
    return _numbered(scenes, INAT_SIZE.of(split), f"iNaturalist demo images ({split})")


def _inat_json(year: int, files: Sequence[str], labels: Sequence[int], names: Sequence[str]) -> dict[str, object]:
    images = [
        {"id": i, "file_name": file, "width": 64, "height": 64, "license": 1, "rights_holder": "Zalando SE"}
        for i, file in enumerate(files)
    ]
    return {
        "info": {"description": f"generated demo data in the format of iNaturalist {year}", "year": year},
        "licenses": [{"id": 1, "name": "MIT", "url": "https://opensource.org/license/mit"}],
        "images": images,
        "annotations": [{"id": i, "image_id": i, "category_id": label} for i, label in enumerate(labels)],
        "categories": [{"id": i, "name": name, "supercategory": "Garments"} for i, name in enumerate(names)],
    }


def write_places(root: Path, source: SceneSource) -> None:
    """The standard lists, ``data_256_standard/`` and ``val_256/``; two to four garments on every background."""
    names = [f"/{name[0]}/{name}" for name in source.background_names]
    with whole_folder(root) as folder:
        _write_list(folder / "categories_places365.txt", names, range(len(names)))
        for split, images, list_name in (
            ("train", "data_256_standard", "places365_train_standard.txt"),
            ("val", "val_256", "places365_val.txt"),
        ):
            scenes = source.draw("places365", split, PLACES_SIZE.of(split), **PLACES_SCENES)
            files, labels = [], []
            for name, scene in _numbered(scenes, PLACES_SIZE.of(split), f"Places demo images ({split})"):
                labels.append(scene.background)
                files.append(f"{names[labels[-1]]}/{name}" if split == "train" else f"Places365_val_{name}")
                path = folder / images / files[-1].lstrip("/")
                path.parent.mkdir(parents=True, exist_ok=True)
                save_png(scene.image, path)
            _write_list(folder / list_name, files, labels)
        PLACES_SIZE.write(folder)


def write_places205(root: Path, source: SceneSource) -> None:
    """``trainvalsplit_places205/*.csv`` and the images that they name, of the same scenes."""
    with whole_folder(root) as folder:
        (folder / "trainvalsplit_places205").mkdir()
        for split in SPLITS:
            scenes = source.draw("places365", split, PLACES_SIZE.of(split), **PLACES_SCENES)
            files, labels = [], []
            for name, scene in _numbered(scenes, PLACES_SIZE.of(split), f"Places205 demo images ({split})"):
                place = source.background_names[scene.background]
                files.append(f"{place[0]}/{place}/{split}_{name}")
                labels.append(scene.background)
                path = folder / "data/vision/torralba/deeplearning/images256" / files[-1]
                path.parent.mkdir(parents=True, exist_ok=True)
                save_png(scene.image, path)
            _write_list(folder / "trainvalsplit_places205" / f"{split}_places205.csv", files, labels)
        PLACES_SIZE.write(folder)


def _write_list(path: Path, names: Sequence[str], labels: Sequence[int]) -> None:
    path.write_text("".join(f"{name} {label}\n" for name, label in zip(names, labels, strict=True)))


def _numbered(scenes: Iterator[Scene], count: int, description: str) -> Iterator[tuple[str, Scene]]:
    for index, scene in enumerate(track(scenes, description=f"Writing {description}", total=count), start=1):
        yield f"{index:08d}.png", scene


_WRITERS: Mapping[str, Callable[[Path, SceneSource], None]] = {
    "imagenet": write_imagenet,
    "inat17": partial(write_inat, year=2017),
    "inat18": partial(write_inat, year=2018),
    "inat19": write_inat,
    "inat21": write_inat21,
    "inat21_mini": partial(write_inat21, train="train_mini"),
    "places205": write_places205,
    "places365": write_places,
    "own": write_imagenet,
}
"""By the name of the reader."""


def write_demo(reader: str, root: Path, source: SceneSource) -> None:
    """Writes a small data set to the new folder ``root``, in the format that ``reader`` (one of ``READERS``) reads."""
    _WRITERS[reader](root, source)
