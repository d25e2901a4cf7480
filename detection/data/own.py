"""Data of one's own in COCO's format, boxes alone or boxes and masks: found, read, and tidied for detectron2.

Tidied, it lies in COCO 2017's layout, so that all that reads COCO reads it: annotations with what counts alone, links
to the folders of images. Without validation annotations, a fifth of the images is held out; what is called test is
left alone.
"""

import hashlib
import math
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from crossmae.data.images import FileDigest, described_files, fingerprint_of
from crossmae.errors import UserError
from crossmae.files import write_json
from crossmae.parsing import lists_objects, read_json
from detection.data.check import not_instances
from detection.data.layout import SPLITS, annotation_file, image_folder
from detection.recipe import Masks

RULE = "a fifth of the images, those whose names have the smallest SHA-256"
_OTHER_FILES = ("captions", "keypoints", "stuff", "panoptic", "image_info", "unlabeled")
_WORDS = {"train": "train", "val": "val"}
_TEST = re.compile(r"(?<![a-z])test(?![a-z])")
REMEDY = "give COCO's instance annotations: images, annotations with a bbox, categories"


@dataclass(frozen=True)
class Part:
    """One split: the content of its file of annotations, and the folder that its images are named in."""

    file: Path
    content: dict[str, Any]
    images: Path

    @property
    def categories(self) -> dict[int, str]:
        """Names by number."""
        return {entry["id"]: str(entry.get("name", entry["id"])) for entry in self.content["categories"]}


@dataclass(frozen=True)
class OwnCoco:
    """Both splits; ``given`` says whether the second one was there or was held out."""

    train: Part
    val: Part
    given: bool
    masks: Masks

    @property
    def parts(self) -> dict[str, Part]:
        """By the name of the split."""
        return {"train": self.train, "val": self.val}


def read_own(root: Path, options: Mapping[str, str]) -> OwnCoco:
    """The data at ``root``. Options: ``train`` and ``val``, files of annotations below it; ``masks: "no"``.

    Raises:
        UserError: there is no such file, or it is no COCO file of instances; one line names it.
    """
    files = _files(root, options)
    given = "val" in files
    if "tuning" in options:  # Values are chosen on a part of the training images alone.
        files.pop("val", None)
    parts = {split: _read(root, path) for split, path in files.items()}
    train, val = parts["train"], parts.get("val")
    things = [thing for part in parts.values() for thing in part.content["annotations"]]
    masks = None if options.get("masks") == "no" else _kind_of_masks(things)
    if "tuning" in options:
        return OwnCoco(*_halves(train if given else _halves(train)[0]), given=False, masks=masks)
    return OwnCoco(*((train, val) if val else _halves(train)), given=given, masks=masks)


def tidy(data: OwnCoco, folder: Path) -> Path:
    """Writes ``data`` in COCO 2017's layout to ``folder`` and returns it; the same content however often."""
    for split, part in data.parts.items():
        write_json(_tidied(part.content, data.masks is not None), annotation_file(folder, split))
        with suppress(FileExistsError):
            image_folder(folder, split).symlink_to(part.images.resolve(), target_is_directory=True)
    return folder


def fingerprint_of_own(root: Path, options: Mapping[str, str], digest: FileDigest) -> str:
    """Sixteen digits of the annotation files, and of names and sizes of the images that they name."""
    data = read_own(root, options)
    texts = [str(data.masks), *(digest(part.file) for part in data.parts.values())]
    for part in data.parts.values():
        texts += described_files(part.images, (image["file_name"] for image in part.content["images"]))
    return fingerprint_of(texts)


def _files(root: Path, options: Mapping[str, str]) -> dict[str, Path]:
    named = {split: root / options[split] for split in SPLITS if split in options}
    if "train" in named:
        return named
    found = [path for path in _annotations(root) if not _is_test(path, root)]
    # Settings and the like may have the same words in their names.
    likely = [path for path in found if lists_objects(path, ("images", "annotations"))]
    found.sort(key=lambda path: path not in likely)
    chosen = {
        split: next((path for path in found if word in _words_of(path, root)), None) for split, word in _WORDS.items()
    }
    chosen |= named
    if chosen["train"] is None and len(likely or found) == 1 and chosen["val"] is None:
        chosen["train"] = found[0]
    if chosen["train"] is None:
        names = ", ".join(path.relative_to(root).as_posix() for path in _annotations(root)[:4])
        what = f"{root} holds no file of training annotations, only {names}" if names else f"{root} holds no JSON file"
        raise UserError(what, "call it train.json, or instances_train.json in a folder annotations")
    return {split: path for split, path in chosen.items() if path is not None}


def file_called_test(root: Path) -> str | None:
    """The name, below ``root``, of a file of annotations that is called test; None if there is none."""
    return next((path.relative_to(root).as_posix() for path in _annotations(root) if _is_test(path, root)), None)


def _annotations(root: Path) -> list[Path]:
    found = sorted([*root.glob("*.json"), *root.glob("*/*.json")])
    return [path for path in found if path.is_file() and not path.name.startswith(_OTHER_FILES)]


def _is_test(path: Path, root: Path) -> bool:
    return "train" not in _words_of(path, root) and bool(_TEST.search(_words_of(path, root)))


def _words_of(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix().lower()


def _read(root: Path, path: Path) -> Part:
    if not path.exists():
        raise UserError(f"{path} does not exist", REMEDY)
    content = read_json(path, "write it again")
    if wrong := not_instances(content, masks=False):
        raise UserError(f"{path} {wrong}", REMEDY)
    names = [str(image["file_name"]) for image in content["images"]]
    if not names:
        raise UserError(f"{path} lists no image", REMEDY)
    for name in names:
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts or "\0" in name:
            raise UserError(
                f"{path}: image {name[:80]!r} lies outside the data", "name images relative to their folder"
            )
    return Part(path, content, _folder_of_images(root, path, names))


def _folder_of_images(root: Path, file: Path, names: list[str]) -> Path:
    """The first folder that holds the first image, or else one that holds any of a few."""
    inner = sorted(path for path in root.iterdir() if path.is_dir())
    below = [path for folder in inner for path in sorted(folder.iterdir()) if path.is_dir()]
    # That of the split's own name first: two folders may hold images of one name.
    words = [word for word in (*_WORDS.values(), "test") if word in _words_of(file, root)][:1]
    folders = sorted([file.parent, root, *inner, *below], key=lambda path: not any(w in path.name for w in words))
    for name in (names[0], *names[1 :: max(1, len(names) // 5)]):
        for folder in folders:
            if (folder / name).is_file():
                return folder
    raise UserError(f"no folder of {root} holds {names[0]}, which {file.name} lists", "put the images next to it")


def _halves(part: Part) -> tuple[Part, Part]:
    images = sorted(part.content["images"], key=lambda image: hashlib.sha256(image["file_name"].encode()).digest())
    count = math.ceil(len(images) / 5)
    if len(images) < 2:
        raise UserError(f"{part.file} lists one image, so none can be held out", "add images")
    return _with_images(part, images[count:]), _with_images(part, images[:count])


def _with_images(part: Part, images: list[dict[str, Any]]) -> Part:
    kept = {image["id"] for image in images}
    things = [thing for thing in part.content["annotations"] if thing["image_id"] in kept]
    images = sorted(images, key=lambda image: str(image["file_name"]))
    return Part(part.file, {**part.content, "images": images, "annotations": things}, part.images)


def _kind_of_masks(things: list[dict[str, Any]]) -> Masks:
    masks = [thing.get("segmentation") for thing in things if not thing.get("iscrowd")]
    if not all(masks) or not masks:
        return None
    return "bitmask" if any(isinstance(mask, dict) for mask in masks) else "polygon"


def _tidied(content: dict[str, Any], masks: bool) -> dict[str, Any]:
    things = []
    for number, thing in enumerate(content["annotations"], start=1):
        box = [float(value) for value in thing["bbox"]]
        kept = {name: thing[name] for name in ("image_id", "category_id")}
        crowd, area = int(bool(thing.get("iscrowd", 0))), float(thing.get("area") or box[2] * box[3])
        mask = {"segmentation": thing["segmentation"]} if masks and thing.get("segmentation") else {}
        things.append({"id": number, **kept, "bbox": box, "area": area, "iscrowd": crowd, **mask})
    images = [{name: image[name] for name in ("id", "file_name", "width", "height")} for image in content["images"]]
    categories = [{"id": entry["id"], "name": str(entry.get("name", entry["id"]))} for entry in content["categories"]]
    return {"images": images, "annotations": things, "categories": categories}
