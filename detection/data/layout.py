"""Where COCO's files lie under a data root, what they must hold, and what tells one data set from another."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from crossmae.data.images import FileDigest, described_files, fingerprint_of, is_generated
from crossmae.data.names import is_image
from crossmae.errors import UserError, one_line
from crossmae.parsing import read_json

SPLITS = ("train", "val")

NO_MASKS = "has boxes without masks"
MASKS_NEEDED = "ViTDet learns boxes and masks: give each annotation a segmentation, or remove it"


def annotation_file(data_root: Path, split: str) -> Path:
    """``annotations/instances_train2017.json`` or ``..._val2017.json``."""
    return data_root / "annotations" / f"instances_{split}2017.json"


def image_folder(data_root: Path, split: str) -> Path:
    """``train2017`` or ``val2017``."""
    return data_root / f"{split}2017"


def fingerprint_of_coco(data_root: Path, digest: FileDigest) -> str:
    """Sixteen digits of the annotation files, and of names and sizes of the images.

    Raises:
        UserError: a file or folder is missing or cannot be read.
    """
    try:
        return fingerprint_of(text for split in SPLITS for text in _described(data_root, split, digest))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{data_root} cannot be listed ({one_line(error)})", "it must hold COCO 2017") from error


def _described(data_root: Path, split: str, digest: FileDigest) -> Iterator[str]:
    path, folder = annotation_file(data_root, split), image_folder(data_root, split)
    yield _objects(read_json(path)) if is_generated(data_root) else digest(path)
    names = sorted(f"{folder.name}/{file.name}" for file in folder.iterdir() if is_image(file.name))
    yield from described_files(data_root, names)


def _objects(content: dict[str, Any]) -> str:
    """Images and objects of generated data: where an outline begins depends on the version of a library."""
    names = ("image_id", "category_id", "bbox", "area", "iscrowd")
    objects = [[annotation[name] for name in names] for annotation in content["annotations"]]
    return json.dumps([content["images"], content["categories"], objects])
