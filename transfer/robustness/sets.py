"""The sets, as their archives unpack. ``ROOT`` may be the archive's own folder or the one that it was unpacked in.

ImageNet-A, -R, -Sketch: ``imagenet-a/WNID/*``, ``imagenet-r/WNID/*``, ``sketch/WNID/*``.

ImageNet-V2: ``imagenetv2-matched-frequency-format-val/NUMBER/*``; folders are numbers of classes, no names to sort.

ImageNet-ReaL: other labels for ``val/*/ILSVRC2012_val_NUMBER.JPEG`` of ImageNet-1K; images are known by these names.

ObjectNet: ``objectnet-1.0/images/FOLDER/*.png`` and ``objectnet-1.0/mappings/*.json``; only the 113 folders that share
classes with ImageNet-1K are read.

ImageNet-C: ``CORRUPTION/SEVERITY/WNID/*``.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from crossmae.data.names import is_image
from crossmae.data.open import entries, is_folder
from crossmae.errors import UserError
from crossmae.parsing import parse_file
from transfer.datasets.labelled import LabelledImages
from transfer.robustness.classes import numbers_of, real_labels, subset, synsets
from transfer.robustness.corruptions import ALEXNET, EXTRA, SEVERITIES

_MAPPINGS = ("folder_to_objectnet_label.json", "objectnet_to_imagenet_1k.json")


@dataclass(frozen=True)
class EvaluationSet:
    """Images, what is right for each, and how they are scored."""

    images: LabelledImages
    """Their labels are numbers of ImageNet-1K's classes: where several are right, the first of them."""
    published: int
    """Number of images of the real set."""
    right: tuple[tuple[int, ...], ...] | None = None
    """All right classes of each image, where there may be several."""
    candidates: tuple[int, ...] | None = None
    """The classes that the set has, where they are not all."""
    border: int = 0
    """Pixels to cut off each side before anything else."""
    resized: bool = True
    """False: the images are stored at the size that a classifier looks at."""


def read_a(root: Path) -> EvaluationSet:
    """Natural images that a ResNet-50 gets wrong; 200 classes."""
    files = _class_folders(_below(root, "imagenet-a"), root, subset("a"))
    return EvaluationSet(_labelled(root, files), 7_500, candidates=subset("a"))


def read_r(root: Path) -> EvaluationSet:
    """Renditions (paintings, toys, ...) of 200 classes."""
    files = _class_folders(_below(root, "imagenet-r"), root, subset("r"))
    return EvaluationSet(_labelled(root, files), 30_000, candidates=subset("r"))


def read_sketch(root: Path) -> EvaluationSet:
    """Drawings; all classes."""
    return EvaluationSet(_labelled(root, _class_folders(_below(root, "sketch"), root, range(1000))), 50_889)


def read_v2(root: Path) -> EvaluationSet:
    """A second test set of ImageNet-1K, ten images for each class, chosen by matched frequency."""
    folder = _below(root, "imagenetv2-matched-frequency-format-val")
    names = {str(number): number for number in range(1000)}
    return EvaluationSet(_labelled(root, _files_of(folder, root, names)), 10_000)


def read_real(root: Path) -> EvaluationSet:
    """The validation images of ImageNet-1K that have labels after a second look; several may be right."""
    known = real_labels()
    files = [file for file, _ in _class_folders(root / "val", root, range(1000))]
    if renamed := [file for file in files if Path(file).name not in known]:
        what = f"{root / 'val'}: {renamed[0]} is not called ILSVRC2012_val_<8 digits>.JPEG, as ReaL's labels need"
        raise UserError(what, "use the images as they were published")
    scored = [(file, known[Path(file).name]) for file in files if known[Path(file).name]]
    images = _labelled(root, [(file, right[0]) for file, right in scored])
    return EvaluationSet(images, 46_837, right=tuple(right for _, right in scored))


def read_objectnet(root: Path) -> EvaluationSet:
    """Things at home, seen from odd sides. The images have a red border, which is no part of them."""
    folder = _below(root, "objectnet-1.0")
    of_folder = _objectnet_classes(folder / "mappings")
    first = {name: right[0] for name, right in of_folder.items()}
    files = _files_of(folder / "images", root, first, others=True)
    right = tuple(of_folder[Path(file).parent.name] for file, _ in files)
    candidates = tuple(sorted({number for numbers in of_folder.values() for number in numbers}))
    return EvaluationSet(_labelled(root, files), 18_574, right, candidates, border=2)


def read_c(root: Path) -> EvaluationSet:
    """The validation images of ImageNet-1K, corrupted in fifteen ways (or nineteen) and five degrees."""
    folder = _below(root, "ImageNet-C")
    there = [*ALEXNET, *(name for name in EXTRA if is_folder(folder / name))]
    files = [
        pair
        for name in there
        for severity in SEVERITIES
        for pair in _class_folders(folder / name / severity, root, range(1000), complete=False)
    ]
    return EvaluationSet(_labelled(root, files), 50_000 * len(SEVERITIES) * len(there), resized=False)


def _objectnet_classes(folder: Path) -> dict[str, tuple[int, ...]]:
    """The right classes of ImageNet-1K by folder of images, for those folders that have some."""
    read = []
    for name in _MAPPINGS:
        if not (folder / name).is_file():
            raise UserError(f"{folder / name} does not exist", "unpack objectnet-1.0.zip, which holds it")
        read.append(parse_file(dict[str, str], folder / name))
    labels, words = read
    return {name: numbers_of(words[label].split("; "), str(folder)) for name, label in labels.items() if label in words}


def _below(root: Path, archive: str) -> Path:
    return root / archive if is_folder(root / archive) else root


def _class_folders(folder: Path, root: Path, numbers: Iterable[int], complete: bool = True) -> list[tuple[str, int]]:
    return _files_of(folder, root, {synsets()[number]: number for number in numbers}, complete=complete)


def _files_of(
    folder: Path, root: Path, labels: Mapping[str, int], others: bool = False, complete: bool = True
) -> list[tuple[str, int]]:
    """Images of the folders that ``labels`` names, with their labels.

    Args:
        others: whether folders may lie there that ``labels`` does not name.
        complete: whether every one that it names must.

    Raises:
        UserError: a folder is missing, or is none of them.
    """
    there = {name for name in entries(folder)[0] if name[0] != "."}
    missing = sorted(set(labels) - there) if complete or not there else []
    unknown = [] if others else sorted(there - set(labels))
    faults = [f"lacks {len(missing):,} of {len(labels):,} class folders ({missing[0]}, ...)"] if missing else []
    faults += [f"has {len(unknown):,} folders that are no class of it ({unknown[0]}, ...)"] if unknown else []
    if faults:
        raise UserError(f"{folder} {' and '.join(faults)}", "unpack the set's own archive there")
    at = folder.relative_to(root)
    pairs = [
        ((at / name / file).as_posix(), label)
        for name, label in labels.items()
        if name in there
        for file in sorted(filter(is_image, entries(folder / name)[1]))
    ]
    if not pairs:
        raise UserError(f"{folder} has class folders and no image", "unpack the set's own archive there")
    return pairs


def _labelled(root: Path, files: Iterable[tuple[str, int]]) -> LabelledImages:
    names, labels = zip(*files, strict=True)
    return LabelledImages(root, names, np.array(labels, np.int64), synsets())


SETS: Mapping[str, Callable[[Path], EvaluationSet]] = {
    "a": read_a,
    "c": read_c,
    "objectnet": read_objectnet,
    "r": read_r,
    "real": read_real,
    "sketch": read_sketch,
    "v2": read_v2,
}
"""By the name that a task's ``options: {set: ...}`` gives."""
