"""AP is pycocotools' to the last digits, on a load with everything that COCO's rules are about."""

import json
import math
from pathlib import Path
from typing import Any

import hotcoco
import numpy as np
import pytest
from pycocotools import mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from detection.evaluation.metrics import GEOMETRY, NAMES, judge

SIDE = 200
CLASSES = 6
"""Of which the last has no object."""


def region(box: list[float]) -> dict[str, Any]:
    rows, columns = np.ogrid[:SIDE, :SIDE]
    x, y, width, height = box
    inside = ((columns - x - width / 2) / width) ** 2 + ((rows - y - height / 2) / height) ** 2 <= 0.25
    encoded = mask.encode(np.asfortranarray(inside.astype(np.uint8)))
    return {"size": encoded["size"], "counts": encoded["counts"].decode()}


def runs(box: list[float]) -> dict[str, Any]:
    """Uncompressed run lengths, column by column, as COCO's crowds have them."""
    pixels = mask.decode(region(box)).ravel(order="F")
    changes = np.flatnonzero(np.diff(pixels, prepend=0)).tolist()
    return {"size": [SIDE, SIDE], "counts": np.diff([0, *changes, len(pixels)]).tolist()}


def polygon(box: list[float]) -> list[list[float]]:
    x, y, width, height = box
    return [[x, y, x + width, y, x + width, y + height, x, y + height]]


def truth(random: np.random.Generator) -> dict[str, Any]:
    annotations: list[dict[str, Any]] = []
    for image in range(1, 13):
        for _ in range(random.integers(0, 8)):
            box = [*random.uniform(0, 80, 2).tolist(), *random.choice([20, 60, 115], 2).tolist()]
            crowd = int(random.random() < 0.2)
            thing = {"id": len(annotations) + 1, "image_id": image, "category_id": int(random.integers(1, CLASSES))}
            shape: Any = runs(box) if crowd else polygon(box)
            annotations.append({**thing, "bbox": box, "area": box[2] * box[3], "iscrowd": crowd, "segmentation": shape})
    images = [{"id": image, "height": SIDE, "width": SIDE} for image in range(1, 13)]
    categories = [{"id": label, "name": f"class {label}"} for label in range(1, CLASSES + 1)]
    return {"info": {}, "images": images, "categories": categories, "annotations": annotations}


def detections(content: dict[str, Any], random: np.random.Generator) -> list[dict[str, Any]]:
    """Blurred, doubled, of mistaken classes, with equal scores; more than 100 of one class in one image."""
    blurred = []
    for thing in content["annotations"][5:]:
        for _ in range(150 if thing["id"] == 8 else 3):
            box = (np.array(thing["bbox"]) * random.uniform(0.8, 1.2, 4)).tolist()
            label = thing["category_id"] if random.random() < 0.8 else int(random.integers(1, CLASSES + 1))
            made = {"image_id": thing["image_id"], "category_id": label, "score": random.integers(9) / 8}
            blurred.append({**made, "bbox": box, "segmentation": region(box)})
    return blurred


@pytest.mark.parametrize("kind", GEOMETRY)
@pytest.mark.parametrize("seed", [0, 1])
def test_every_number_is_that_of_pycocotools(kind: str, seed: int, tmp_path: Path) -> None:
    random = np.random.default_rng(seed)
    content = truth(random)
    predictions = detections(content, random)
    path = tmp_path / "truth.json"
    path.write_text(json.dumps(content))
    names = [category["name"] for category in content["categories"]]
    results = judge(hotcoco.COCO(str(path)), predictions, kind, names)

    reference = COCO(str(path))
    other = "segmentation" if kind == "bbox" else "bbox"
    kept = [{key: value for key, value in prediction.items() if key != other} for prediction in predictions]
    judged = COCOeval(reference, reference.loadRes(kept), kind)
    judged.evaluate()
    judged.accumulate()
    judged.summarize()
    numbers = dict(zip(NAMES, judged.stats, strict=False))
    expected = {name: 100 * value if value >= 0 else math.nan for name, value in numbers.items()}
    for index, name in enumerate(names):
        precision = judged.eval["precision"][:, :, index, 0, -1]
        present = precision[precision > -1]
        expected[f"AP-{name}"] = 100 * present.mean() if present.size else math.nan
    assert math.isnan(expected[f"AP-class {CLASSES}"])
    assert 5 < expected["AP"] < 95
    assert results == pytest.approx(expected, abs=1e-6, nan_ok=True)
