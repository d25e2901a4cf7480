"""Where COCO's files lie under a data root, and what they must hold."""

from pathlib import Path

SPLITS = ("train", "val")

NO_MASKS = "has boxes without masks"
MASKS_NEEDED = "ViTDet learns boxes and masks: give each annotation a segmentation, or remove it"


def annotation_file(data_root: Path, split: str) -> Path:
    """``annotations/instances_train2017.json`` or ``..._val2017.json``."""
    return data_root / "annotations" / f"instances_{split}2017.json"


def image_folder(data_root: Path, split: str) -> Path:
    """``train2017`` or ``val2017``."""
    return data_root / f"{split}2017"
