"""COCO's files as detectron2 data sets."""

import json
import os
from pathlib import Path
from typing import Any

from detectron2.data import DatasetCatalog, MetadataCatalog, get_detection_dataset_dicts
from detectron2.data.datasets import register_coco_instances

from crossmae.errors import UserError, one_line
from crossmae.files import open_regular
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
    path, folder = annotation_file(data_root, split), image_folder(data_root, split)
    try:
        open_regular(path).close()  # detectron2 would wait for a pipe
        dicts = get_detection_dataset_dicts(register(data_root, split), filter_empty=split == "train")
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing", "`transfer check` lists what COCO needs") from error
    except json.JSONDecodeError as error:
        raise UserError(f"{path} is not valid JSON ({error})", "it is cut short or damaged, fetch it again") from error
    except Exception as error:  # what is no such file fails in every way there is
        reason = f"{type(error).__name__}: {one_line(error, 160)}"
        raise UserError(f"{path} is not COCO instance annotations ({reason})", "see `transfer check`") from error
    categories = len(MetadataCatalog.get(register(data_root, split)).thing_classes)
    if categories != classes:
        raise UserError(
            f"{path} has {categories} categories, the recipe {classes}", "is it the file of another data set?"
        )
    _require_regular(dicts, folder)
    if masks and any("segmentation" not in thing for image in dicts for thing in image["annotations"]):
        raise UserError(f"{path} {NO_MASKS}", MASKS_NEEDED)
    return dicts


def _require_regular(dicts: list[dict[str, Any]], folder: Path) -> None:
    """Refuses images that are no regular files, such as pipes, for which detectron2 would wait."""
    if not folder.is_dir():
        raise UserError(f"{folder} is missing", "`transfer check` lists what COCO needs")
    with os.scandir(folder) as entries:
        regular = {entry.path for entry in entries if entry.is_file()}
    for image in dicts:
        name = image["file_name"]
        if name not in regular and not os.path.isfile(name):  # noqa: PTH113 - False for what no file can be called
            raise UserError(f"{name} is no image file", "`transfer check` lists what COCO needs")
