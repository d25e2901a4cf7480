"""Where ADE20K (``ADEChallengeData2016``) keeps its files, and what they are called."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crossmae.data.images import described_files, fingerprint_of
from crossmae.errors import UserError, one_line
from crossmae.files import read_regular
from crossmae.recipe import digest_of

SPLITS = {"training": 20_210, "validation": 2_000}
"""The real data set's splits and their numbers of images."""

ADE20K_CLASSES = 150

IMAGE_SUFFIXES = (".jpg", ".png")
"""ADE20K's images are JPEG; the demo's are PNG, because they must be the same on every machine."""

CLASS_FILE = "objectInfo150.txt"
SCENE_FILE = "sceneCategories.txt"


@dataclass(frozen=True)
class Split:
    """Images and annotations of one split, by stem."""

    images: dict[str, Path]
    annotations: dict[str, Path]


def split_of(root: Path, split: str) -> Split:
    """Lists ``images/<split>`` and ``annotations/<split>``; a missing folder has no files."""
    return Split(
        images=_by_stem(root / "images" / split, IMAGE_SUFFIXES),
        annotations=_by_stem(root / "annotations" / split, (".png",)),
    )


def class_names(root: Path) -> tuple[str, ...]:
    """The classes in ``objectInfo150.txt``, in the order of labels 1, 2, ...; empty if there is no such file.

    Raises:
        UserError: it is no text.
    """
    path = root / CLASS_FILE
    if not path.exists():
        return ()
    try:
        lines = read_regular(path).decode().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read ({one_line(error, 100)})", "unpack the data set again") from error
    return tuple(line.split("\t")[-1].strip() for line in lines[1:] if line.strip())


def image_suffix(classes: int) -> str:
    """The end of the names of images: mmsegmentation's data set of 150 classes reads JPEG, that of others PNG."""
    return ".jpg" if classes == ADE20K_CLASSES else ".png"


def loader_values(
    root: Path, classes: int | None, names: Sequence[str] = (), keep_zero: bool = False
) -> dict[str, Any]:
    """What mmsegmentation's data set of either split is given of data that lies as ADE20K's.

    Args:
        root: folder with ``images`` and ``annotations``.
        classes: number of classes of the recipe.
        names: names of the data set's classes; needed where they are not ADE20K's 150.
        keep_zero: label 0 is the first class, and not ignored.
    """
    if classes == ADE20K_CLASSES and not keep_zero:
        return {"data_root": str(root)}
    # ADE20KDataset fixes the 150 names; its base class takes everything that it would set.
    return {
        "type": "BaseSegDataset",
        "data_root": str(root),
        "metainfo": {"classes": tuple(names)},
        "img_suffix": image_suffix(len(names)),
        "reduce_zero_label": not keep_zero,
    }


def digest_of_listing(root: Path) -> str:
    """Ten hex digits over the names of the classes and of the images; the same wherever the data lie."""
    return digest_of([class_names(root), {name: sorted(split_of(root, name).images) for name in SPLITS}])


def fingerprint_of_ade20k(root: Path) -> str:
    """Sixteen digits of the classes, and of names and sizes of images and annotations."""
    splits = [split_of(root, name) for name in SPLITS]
    paths = [path for split in splits for files in (split.images, split.annotations) for path in files.values()]
    names = (path.relative_to(root).as_posix() for path in paths)
    return fingerprint_of((*class_names(root), *described_files(root, names)))


def _by_stem(folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    if not folder.is_dir():
        return {}
    return {path.stem: path for path in sorted(folder.iterdir()) if path.suffix.lower() in suffixes}
