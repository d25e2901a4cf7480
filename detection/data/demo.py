"""Demo data in COCO's format: garments with polygons, and now and then a crowd with run lengths."""

import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

from rich.progress import track

from crossmae.data.demo.scenes import Scene, SceneObject, SceneSource
from crossmae.data.demo.write import save_png
from crossmae.files import whole_folder
from detection.data.layout import annotation_file, image_folder
from detection.data.polygons import mask_polygons, mask_rle

COUNTS = {"train": 1000, "val": 300}
LABELS = (1, 3, 7, 8)
"""Trouser, dress, sneaker, bag. COCO's category ids have gaps too, which is where class mappings go wrong."""


def write_demo(data_root: Path, scenes: SceneSource, counts: dict[str, int] = COUNTS, crowds: float = 0.05) -> None:
    """Writes ``annotations/instances_{train,val}2017.json``, ``train2017/`` and ``val2017/``.

    ``crowds`` is the probability that a scene has one.
    """
    with whole_folder(data_root) as folder:
        for split, number in counts.items():
            image_folder(folder, split).mkdir()
            drawn = scenes.draw("coco", split, number, classes=LABELS, objects=(1, 3), scale=(0.4, 0.7), crowds=crowds)
            content = _write_split(image_folder(folder, split), drawn, number, scenes)
            annotation_file(folder, split).parent.mkdir(exist_ok=True)
            annotation_file(folder, split).write_text(json.dumps(content))


def _write_split(folder: Path, drawn: Iterator[Scene], number: int, scenes: SceneSource) -> dict[str, Any]:
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    ids = count(1)
    for image_id, scene in enumerate(track(drawn, f"Writing {folder.name}", total=number), start=1):
        name = f"{image_id:012d}.png"
        save_png(scene.image, folder / name)
        height, width = scene.image.shape[:2]
        images.append({"id": image_id, "file_name": name, "height": height, "width": width})
        annotations += [_annotation(thing, next(ids), image_id) for thing in scene.objects if thing.mask.any()]
    return {
        "info": {"description": "Generated demo data in COCO's format", "version": "1"},
        "licenses": [],
        "images": images,
        "annotations": annotations,
        "categories": [{"id": i + 1, "name": scenes.class_names[i], "supercategory": "garment"} for i in LABELS],
    }


def _annotation(thing: SceneObject, identifier: int, image_id: int) -> dict[str, Any]:
    x0, y0, x1, y1 = thing.box
    return {
        "id": identifier,
        "image_id": image_id,
        "category_id": thing.label + 1,
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "area": float(thing.mask.sum()),
        "iscrowd": int(thing.crowd),
        "segmentation": mask_rle(thing.mask) if thing.crowd else mask_polygons(thing.mask),
    }
