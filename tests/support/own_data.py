"""Small data sets in the layouts that people have: what ``docs/your_data.md`` works on."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

COLOURS = {"cats": (200, 40, 40), "dogs": (40, 200, 40), "red foxes": (40, 40, 200)}
SIZE = (96, 72)
Box = tuple[int, int, int, int]


def write_own_data(folder: Path) -> None:
    """``pets`` (folders), ``birds`` (a list), ``bolts`` (boxes), ``nuts`` (outlines), ``leaves`` (masks), all JPEG."""
    random = np.random.default_rng(0)
    rows = ["picture,species"]
    for place, (name, colour) in enumerate(COLOURS.items()):
        for number in range(15):
            _picture(folder / "pets" / name / f"{number} ü.jpg", _box(random), colour)
            _picture(folder / "birds" / "pictures" / f"{name} {number}.jpg", _box(random), colour)
            rows.append(f"pictures/{name} {number}.jpg,{('owl', 'wren', 'tit')[place]}")
    (folder / "birds" / "labels.csv").write_text("\n".join(rows) + "\n")
    for split, count in (("train", 12), ("val", 5)):
        _coco(folder / "bolts", f"instances_{split}.json", [f"{split} {n}.jpg" for n in range(count)], random, False)
    _coco(folder / "nuts", "annotations.json", [f"{n}.jpg" for n in range(15)], random, True)
    for number in range(12):
        left, top, width, height = _box(random)
        _picture(folder / "leaves" / "images" / f"{number}.jpg", (left, top, width, height), COLOURS["dogs"])
        labels = np.zeros(SIZE[::-1], np.uint8)
        labels[top : top + height, left : left + width] = 1
        (folder / "leaves" / "masks").mkdir(exist_ok=True)
        Image.fromarray(labels).save(folder / "leaves" / "masks" / f"{number}.png")


def _box(random: np.random.Generator) -> Box:
    return int(random.integers(2, 50)), int(random.integers(2, 30)), 40, 36


def _picture(path: Path, box: Box, colour: tuple[int, int, int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGB", SIZE, (90, 90, 90))
    image.paste(colour, (box[0], box[1], box[0] + box[2], box[1] + box[3]))
    image.save(path)


def _coco(root: Path, file: str, names: list[str], random: np.random.Generator, outlined: bool) -> None:
    images, things = [], []
    for number, name in enumerate(names):
        box = left, top, width, height = _box(random)
        _picture(root / "images" / name, box, COLOURS["cats"])
        images.append({"id": number, "file_name": name, "width": SIZE[0], "height": SIZE[1]})
        corners = [left, top, left + width, top, left + width, top + height, left, top + height]
        outline = {"segmentation": [corners], "area": width * height, "iscrowd": 0} if outlined else {}
        things.append({"id": number, "image_id": number, "category_id": 1, "bbox": box, **outline})
    path = root / "annotations" / file
    path.parent.mkdir(exist_ok=True)
    categories = [{"id": 1, "name": "bolt"}]
    path.write_text(json.dumps({"images": images, "annotations": things, "categories": categories}))
