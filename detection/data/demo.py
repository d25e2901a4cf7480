"""Demo data in COCO's format: garments with polygons, and now and then a crowd with run lengths."""

import json
from collections.abc import Iterator
from itertools import count, groupby
from pathlib import Path
from typing import Any

import numpy as np
import shapely  # type: ignore[import-untyped]
from numpy.typing import NDArray
from rich.progress import track

from crossmae.data.demo.scenes import Scene, SceneObject, SceneSource
from crossmae.data.demo.write import mark_generated, save_png
from crossmae.files import whole_folder
from detection.data.layout import annotation_file, image_folder

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
        mark_generated(folder)


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


def mask_polygons(mask: NDArray[np.bool_]) -> list[list[float]]:
    """Outlines of ``mask`` (H, W) along the pixels' edges, a flat list ``x, y, x, y, ...`` per part.

    COCO's polygons have no holes, so a part with a hole is cut in two. Rasterised by pycocotools they give the mask
    again.
    """
    runs = [_row_runs(row, y) for y, row in enumerate(mask) if row.any()]
    shape = shapely.union_all([box for boxes in runs for box in boxes])
    return [np.asarray(part.simplify(0).exterior.coords)[:-1].ravel().tolist() for part in _without_holes(shape)]


def mask_rle(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """COCO's uncompressed run lengths of ``mask`` (H, W), column by column, beginning with background."""
    runs = [(bool(value), len(list(pixels))) for value, pixels in groupby(mask.ravel(order="F").tolist())]
    counts = [length for _, length in runs]
    return {"size": list(mask.shape), "counts": [0, *counts] if runs[0][0] else counts}


def _without_holes(shape: Any) -> list[Any]:
    if hasattr(shape, "geoms"):
        return [piece for part in shape.geoms if part.area for piece in _without_holes(part)]
    if not shape.interiors:
        return [shape]
    left, low, right, high = shape.bounds
    # A cut along the hole's left edge makes it a notch of the right half.
    cut = shape.interiors[0].bounds[0]
    halves = shapely.box(left, low, cut, high), shapely.box(cut, low, right, high)
    return [piece for half in halves for piece in _without_holes(shape.intersection(half))]


def _row_runs(row: NDArray[np.bool_], y: int) -> list[Any]:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], row.astype(np.int8), [0]]))).reshape(-1, 2)
    return [shapely.box(float(start), y, float(end), y + 1) for start, end in edges]
