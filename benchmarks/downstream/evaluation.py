"""Box and mask AP of detections on generated images of 80 classes, 100 detections each: pycocotools, and ours."""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hotcoco import COCO
from pycocotools import coco, cocoeval, mask

from benchmarks.downstream.cases import Build, Size, Step
from detection.evaluation.metrics import GEOMETRY, judge

CLASSES = 80
DETECTIONS = 100
Box = list[float]


def ours(size: Size, _device: torch.device) -> Step:
    """What our evaluator does with the gathered detections."""
    path, found = _load(size)
    names = [str(label) for label in range(CLASSES)]

    def step() -> None:
        truth = COCO(str(path))
        for kind in GEOMETRY:
            judge(truth, found, kind, names)

    return step


def pycocotools(size: Size, _device: torch.device) -> Step:
    """The same in pycocotools' own words."""
    path, found = _load(size)

    def step() -> None:
        truth = coco.COCO(str(path))
        for kind, geometry in GEOMETRY.items():
            kept = ("image_id", "category_id", "score", geometry)
            results = truth.loadRes([{key: one[key] for key in kept} for one in found])
            evaluation = cocoeval.COCOeval(truth, results, kind)
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()

    return step


def _load(size: Size) -> tuple[Path, list[dict[str, Any]]]:
    """A file of annotations, three to eleven per image, and detections: blurred copies, half of them of any class."""
    random = np.random.default_rng(0)
    annotations: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []
    for image in range(1, size.batch + 1):
        objects = [_object(size.image_size, random) for _ in range(random.integers(3, 12))]
        for one in objects:
            where = {"id": len(annotations) + 1, "image_id": image, "iscrowd": int(random.random() < 0.02)}
            annotations.append({**one, **where, "area": one["bbox"][2] * one["bbox"][3]})
        for _ in range(DETECTIONS):
            one = _blurred(objects[random.integers(len(objects))], size.image_size, random)
            found.append({**one, "image_id": image, "score": float(np.float32(random.random()))})
    images = [{"id": i, "height": size.image_size, "width": size.image_size} for i in range(1, size.batch + 1)]
    categories = [{"id": label, "name": str(label)} for label in range(1, CLASSES + 1)]
    path = Path(tempfile.mkdtemp()) / "instances.json"
    path.write_text(json.dumps({"images": images, "categories": categories, "annotations": annotations}))
    return path, found


def _object(side: int, random: np.random.Generator) -> dict[str, Any]:
    extent = random.uniform(8, side / 2, 2)
    box = [*random.uniform(0, side - extent).tolist(), *extent.tolist()]
    return {"bbox": box, "category_id": int(random.integers(1, CLASSES + 1)), "segmentation": _region(box, side)}


def _blurred(one: dict[str, Any], side: int, random: np.random.Generator) -> dict[str, Any]:
    x, y, width, height = one["bbox"]
    left, top = np.clip([x + random.normal() * width / 7, y + random.normal() * height / 7], 0, side - 4).tolist()
    right, bottom = (
        min(left + width * random.uniform(0.7, 1.3), side),
        min(top + height * random.uniform(0.7, 1.3), side),
    )
    box = [left, top, right - left, bottom - top]
    label = one["category_id"] if random.random() < 0.5 else int(random.integers(1, CLASSES + 1))
    return {"bbox": box, "category_id": label, "segmentation": _region(box, side)}


def _region(box: Box, side: int) -> dict[str, Any]:
    """The ellipse in a box, as a compressed mask."""
    x, y, width, height = box
    rows, columns = np.ogrid[:side, :side]
    inside = ((columns - x - width / 2) / width) ** 2 + ((rows - y - height / 2) / height) ** 2 <= 0.25
    encoded = mask.encode(np.asfortranarray(inside.astype(np.uint8)))
    return {"size": encoded["size"], "counts": encoded["counts"].decode()}


BUILD: Mapping[str, Build] = {"pycocotools": pycocotools, "ours": ours}
