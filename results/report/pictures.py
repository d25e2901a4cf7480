"""Pictures that runs left behind (reconstructions, drawn detections, attention maps), made small enough to embed."""

import base64
import io
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from results.runs import StoredRecord

if TYPE_CHECKING:
    from PIL import Image

BUDGET = 7_000_000
"""Bytes that all pictures of a report may take together, encoded."""
_CAPTIONS = {
    "reconstruction": "the image, what the encoder sees of it, the reconstruction",
    "detections": "ground truth on the left, predictions on the right",
    "prediction": "the image, the ground truth, the prediction",
    "attention maps": "where the framed masked patch looks, averaged over heads and blocks",
    "attention": "where masked tokens look in each decoder block, in the unit of Table 6",
    "inter block weights": "how each decoder block mixes the encoder's maps",
}
"""What pictures of these names show; a name may go on (``prediction ADE val 00000001``)."""
_SUFFIXES = frozenset({".png", ".jpg", ".jpeg"})
_WIDTH = 1400


@dataclass(frozen=True)
class Picture:
    """An embedded picture with what it shows."""

    task: str
    backbone: str
    seed: int
    name: str
    caption: str
    uri: str


def read_pictures(records: Iterable[StoredRecord], budget: int = BUDGET) -> tuple[dict[str, list[Picture]], int]:
    """Pictures by task, the same of each backbone together, one seed each; and how many were left out.

    Every task gets the same share of ``budget``, so that a task with many pictures leaves room for the others.
    """
    chosen = _one_seed_each(records)
    pictures: dict[str, list[Picture]] = {}
    left_out = 0
    for task, ones in chosen.items():
        pictures[task], missed = _within(ones, budget // len(chosen))
        left_out += missed
    return {task: ones for task, ones in pictures.items() if ones}, left_out


def _one_seed_each(records: Iterable[StoredRecord]) -> dict[str, list[StoredRecord]]:
    tasks: dict[str, dict[str, StoredRecord]] = defaultdict(dict)
    for stored in sorted(records, key=lambda one: (one.record.task.name, one.record.backbone.name, one.record.seed)):
        if _picture_names(stored):
            tasks[stored.record.task.name].setdefault(stored.record.backbone.name, stored)
    return {task: list(ones.values()) for task, ones in tasks.items()}


def _picture_names(stored: StoredRecord) -> dict[str, str]:
    return {name: path for name, path in stored.record.artifacts.items() if Path(path).suffix.lower() in _SUFFIXES}


def _within(records: list[StoredRecord], budget: int) -> tuple[list[Picture], int]:
    pictures: list[Picture] = []
    left_out = 0
    named = ((name, stored, path) for stored in records for name, path in _picture_names(stored).items())
    for name, stored, path in sorted(named, key=lambda one: one[0]):
        uri = _embedded(stored.folder / path)
        if uri is None or len(uri) > budget:
            left_out += 1
            continue
        budget -= len(uri)
        record = stored.record
        pictures.append(Picture(record.task.name, record.backbone.name, record.seed, name, _caption(name), uri))
    return pictures, left_out


def _caption(name: str) -> str:
    words = name.replace("_", " ")
    shown = next((text for known, text in _CAPTIONS.items() if words.startswith(known)), None)
    return f"{words} ({shown})" if shown else words


def _embedded(path: Path) -> str | None:
    """A data URI; large pictures are shrunk, small ones keep their pixels. None if the file is no picture."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            image.thumbnail((_WIDTH, 4 * _WIDTH))
            png, jpeg = _encoded(image.convert("RGB"), "PNG"), _encoded(image.convert("RGB"), "JPEG")
    except OSError:
        return None
    kind, content = ("png", png) if len(png) < 2 * len(jpeg) else ("jpeg", jpeg)
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def _encoded(image: "Image.Image", form: str) -> bytes:
    file = io.BytesIO()
    image.save(file, form, quality=85, optimize=True)
    return file.getvalue()
