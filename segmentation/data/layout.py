"""Where ADE20K (``ADEChallengeData2016``) keeps its files, and what they are called."""

from dataclasses import dataclass
from pathlib import Path

SPLITS = {"training": 20_210, "validation": 2_000}
"""The real data set's splits and their numbers of images."""

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
    """The classes in ``objectInfo150.txt``, in the order of labels 1, 2, ...; empty if there is no such file."""
    path = root / CLASS_FILE
    if not path.exists():
        return ()
    return tuple(line.split("\t")[-1].strip() for line in path.read_text().splitlines()[1:] if line.strip())


def _by_stem(folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    if not folder.is_dir():
        return {}
    return {path.stem: path for path in sorted(folder.iterdir()) if path.suffix.lower() in suffixes}
