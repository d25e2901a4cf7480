"""Pictures that runs left behind (reconstructions, drawn detections, attention maps), made small enough to embed."""

import base64
import io
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING

from crossmae.errors import one_line
from results.record import RecordError
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
"""What pictures of these names show; a name may continue (``prediction ADE val 00000001``)."""
_SUFFIXES = frozenset({".png", ".jpg", ".jpeg"})
_FORMATS = ("PNG", "JPEG")
_WIDTH = 1400
_MOST_BYTES, _MOST_PIXELS = 50_000_000, 50_000_000
"""A larger picture is not opened: a small file may unpack to more than the memory holds."""


@dataclass(frozen=True)
class Picture:
    """An embedded picture with what it shows."""

    task: str
    backbone: str
    seed: int
    name: str
    caption: str
    uri: str


@dataclass(frozen=True)
class Pictures:
    """Pictures by task, how many were left out, and a line for each file that could not be used."""

    tasks: dict[str, list[Picture]]
    left_out: int
    problems: tuple[str, ...]


def read_pictures(records: Iterable[StoredRecord], budget: int = BUDGET) -> Pictures:
    """Reads the pictures of each task, the same of each backbone together, one seed each.

    Every task gets the same share of ``budget``, so that a task with many pictures leaves room for the others.
    """
    runs_of = _one_seed_each(records)
    tasks: dict[str, list[Picture]] = {}
    problems: list[str] = []
    left_out = 0
    for task, runs in runs_of.items():
        pictures, missed = _within(runs, budget // len(runs_of), problems)
        left_out += missed
        if pictures:
            tasks[task] = pictures
    return Pictures(tasks, left_out, tuple(problems))


def _one_seed_each(records: Iterable[StoredRecord]) -> dict[str, list[StoredRecord]]:
    tasks: dict[str, dict[str, StoredRecord]] = defaultdict(dict)
    for stored in sorted(records, key=lambda run: run.order):
        if _picture_names(stored):
            tasks[stored.record.task.name].setdefault(stored.record.backbone.name, stored)
    return {task: list(runs.values()) for task, runs in tasks.items()}


def _picture_names(stored: StoredRecord) -> dict[str, str]:
    return {name: path for name, path in stored.record.artifacts.items() if Path(path).suffix.lower() in _SUFFIXES}


def _within(records: list[StoredRecord], budget: int, problems: list[str]) -> tuple[list[Picture], int]:
    pictures: list[Picture] = []
    left_out = 0
    named = ((name, stored) for stored in records for name in _picture_names(stored))
    for name, stored in sorted(named, key=itemgetter(0)):
        uri = _embedded(stored, name, problems)
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


def _embedded(stored: StoredRecord, name: str, problems: list[str]) -> str | None:
    """A data URI; None, with a line in ``problems`` unless the file is gone, if there is no such picture."""
    try:
        path = stored.artifact(name)
        return _uri(path) if path else None
    except RecordError as error:
        problems.append(str(error))
    except Exception as error:  # Decoders of a foreign file raise errors of many kinds.
        problems.append(f"{stored.folder}: picture {name} cannot be shown ({one_line(error, 120)})")
    return None


def _uri(path: Path) -> str:
    """Large pictures are shrunk, small ones keep their pixels."""
    from PIL import Image

    if path.stat().st_size > _MOST_BYTES:
        raise ValueError(f"more than {_MOST_BYTES} bytes")
    with Image.open(path, formats=_FORMATS) as image:
        if image.width * image.height > _MOST_PIXELS:
            raise ValueError(f"more than {_MOST_PIXELS} pixels")
        image.thumbnail((_WIDTH, 4 * _WIDTH))
        png, jpeg = _encoded(image.convert("RGB"), "PNG"), _encoded(image.convert("RGB"), "JPEG")
    kind, content = ("png", png) if len(png) < 2 * len(jpeg) else ("jpeg", jpeg)
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def _encoded(image: "Image.Image", form: str) -> bytes:
    file = io.BytesIO()
    image.save(file, form, quality=85, optimize=True)
    return file.getvalue()
