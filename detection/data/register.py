"""COCO's files as detectron2 data sets."""

import json
from pathlib import Path
from typing import Any

from detectron2.data import DatasetCatalog, MetadataCatalog, get_detection_dataset_dicts
from detectron2.data.datasets import register_coco_instances

from crossmae.errors import UserError
from detection.data.layout import annotation_file, image_folder


def register(data_root: Path, split: str) -> str:
    """Registers ``split`` with detectron2, once per process, and returns its name there."""
    name = f"coco_2017_{split}@{data_root.resolve()}"
    if name not in DatasetCatalog.list():
        register_coco_instances(name, {}, str(annotation_file(data_root, split)), str(image_folder(data_root, split)))
    return name


def read_dicts(data_root: Path, split: str, classes: int) -> list[dict[str, Any]]:
    """The images of ``split`` in detectron2's format; training leaves out those without an object.

    Reading also fills in detectron2's map of category ids, which the evaluator needs.

    Raises:
        UserError: no usable annotation file, or one of another data set; the line names the file.
    """
    path = annotation_file(data_root, split)
    try:
        dicts = get_detection_dataset_dicts(register(data_root, split), filter_empty=split == "train")
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing; `transfer check` lists what COCO needs") from error
    except json.JSONDecodeError as error:
        raise UserError(f"{path} is not valid JSON ({error}); it is cut short or damaged, fetch it again") from error
    except (AssertionError, KeyError, ValueError, TypeError) as error:
        raise UserError(f"{path} is not COCO instance annotations ({_line(error)}); see `transfer check`") from error
    found = len(MetadataCatalog.get(register(data_root, split)).thing_classes)
    if found != classes:
        raise UserError(f"{path} has {found} categories, the recipe {classes}; is it the file of another data set?")
    return dicts


def _line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]
