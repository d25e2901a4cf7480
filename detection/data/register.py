"""COCO's files as detectron2 data sets."""

import json
from pathlib import Path
from typing import Any

from detectron2.data import DatasetCatalog, MetadataCatalog, get_detection_dataset_dicts
from detectron2.data.datasets import register_coco_instances

from crossmae.errors import UserError, one_line
from detection.data.layout import MASKS_NEEDED, NO_MASKS, annotation_file, image_folder


def register(data_root: Path, split: str) -> str:
    """Registers ``split`` with detectron2, once per process, and returns its name there."""
    name = f"coco_2017_{split}@{data_root.resolve()}"
    if name not in DatasetCatalog.list():
        register_coco_instances(name, {}, str(annotation_file(data_root, split)), str(image_folder(data_root, split)))
    return name


def read_dicts(data_root: Path, split: str, classes: int | None, masks: bool = True) -> list[dict[str, Any]]:
    """Reads the images of ``split`` in detectron2's format; of the training images, only those with an object.

    Reading also fills in detectron2's map of category ids, which the evaluator needs.

    Args:
        masks: whether every object must have one.

    Raises:
        UserError: no usable annotation file, one without masks, or one of another data set; the line names the file.
    """
    path = annotation_file(data_root, split)
    try:
        dicts = get_detection_dataset_dicts(register(data_root, split), filter_empty=split == "train")
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing", "`transfer check` lists what COCO needs") from error
    except json.JSONDecodeError as error:
        raise UserError(f"{path} is not valid JSON ({error})", "it is cut short or damaged, fetch it again") from error
    except (AssertionError, AttributeError, KeyError, ValueError, TypeError) as error:
        reason = f"{type(error).__name__}: {one_line(error, 160)}"
        raise UserError(f"{path} is not COCO instance annotations ({reason})", "see `transfer check`") from error
    categories = len(MetadataCatalog.get(register(data_root, split)).thing_classes)
    if categories != classes:
        raise UserError(
            f"{path} has {categories} categories, the recipe {classes}", "is it the file of another data set?"
        )
    if masks and any("segmentation" not in thing for image in dicts for thing in image["annotations"]):
        raise UserError(f"{path} {NO_MASKS}", MASKS_NEEDED)
    return dicts
