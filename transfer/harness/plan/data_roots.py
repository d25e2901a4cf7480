"""Where each data set lies, and which layout data of one's own has."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from crossmae.data.names import is_image
from crossmae.data.open import is_folder
from crossmae.errors import UserError
from crossmae.files import DATA_VARIABLE, data_folder
from crossmae.parsing import lists_objects, parse, read_yaml
from transfer.datasets.listing import LIST_SUFFIXES, gives_several
from transfer.datasets.places import find_places, is_list

LAYOUTS = ("imagefolder", "list", "multilabel", "coco", "masks")
"""Of data of one's own, as they stand behind the path of ``--data``."""
_MASKS = frozenset({"masks", "mask", "annotations", "labels", "segmentationclass"})
_IMAGES = frozenset({"images", "image", "img", "imgs", "jpegimages"})
COCO_LISTS = ("images", "annotations")
"""What COCO's files have lists of, of which one at least begins early."""
_ENTRIES, _FOLDERS, _FILES = 10_000, 50, 20
"""How many entries of a folder, folders, and JSON files are looked at to see what a folder holds."""
DATA_FILE = Path("data.yaml")
_PRETRAINING, _PRETRAINED_ON = "pretrain", "imagenet"


@dataclass(frozen=True)
class DataRoots:
    """Folders by data set name; a set that is not named lies in ``data/NAME`` (``CROSSMAE_DATA`` moves ``data``)."""

    named: dict[str, Path]
    demo: bool = False
    own: Mapping[str, str | None] = field(default_factory=dict)
    """Layout, or None where it is not said, of each data set that an option names."""

    def of(self, dataset: str) -> Path:
        """The folder of ``dataset``, whether it exists or not."""
        if dataset in self.named:
            return self.named[dataset]
        if dataset == _PRETRAINING and not self.demo:
            return self.of(_PRETRAINED_ON)
        base = data_folder()
        return base / "demo" / dataset if self.demo else base / dataset


def data_roots(assignments: Iterable[str] = (), demo: bool = False) -> DataRoots:
    """From assignments ``NAME=PATH`` or ``NAME=PATH:LAYOUT``, over ``CROSSMAE_DATA_<NAME>`` variables, over the
    ``data.yaml`` of this folder.

    Demo data is written by us: only an assignment moves it.

    Raises:
        UserError: an assignment or ``data.yaml`` that is malformed.
    """
    named = {} if demo else {**_from_file(), **_from_environment()}
    own: dict[str, str | None] = {}
    for assignment in assignments:
        name, equals, path = assignment.partition("=")
        if not equals or not path:
            raise UserError(f"--data {assignment}: give NAME=PATH, such as --data coco=/datasets/coco")
        before, _, layout = path.rpartition(":")
        said = bool(before) and layout in LAYOUTS
        named[name], own[name] = Path(before if said else path).expanduser(), layout if said else None
    return DataRoots(named, demo, own)


def _from_environment() -> dict[str, Path]:
    prefix = f"{DATA_VARIABLE}_"
    return {key.removeprefix(prefix).lower(): Path(path) for key, path in os.environ.items() if key.startswith(prefix)}


def _from_file() -> dict[str, Path]:
    if not DATA_FILE.is_file():
        return {}
    folders = parse(dict[str, str], read_yaml(DATA_FILE), f"{DATA_FILE} (lines of `name: folder`)")
    return {name: Path(path).expanduser() for name, path in folders.items()}


def recognise(path: Path) -> str:
    """Which of ``LAYOUTS`` the data at ``path`` has, by the names that lie there and how its JSON files begin.

    Raises:
        UserError: there is nothing, or a file that is no list.
    """
    if path.is_file():
        if path.name.lower().endswith(LIST_SUFFIXES):
            return "multilabel" if gives_several(path) else "list"
        raise UserError(f"{path} is no list of images", f"name a folder, or a file {', '.join(LIST_SUFFIXES)}")
    if not is_folder(path):
        raise UserError(f"no data at {path}", "put it there or say where it is: --data NAME=PATH")
    outer = _entries(path)
    inner = [entry for folder in outer[:_FOLDERS] for entry in _entries(folder)]
    json = [entry for entry in (*outer, *inner) if entry.suffix.lower() == ".json"]
    if any(lists_objects(file, COCO_LISTS) for file in json[:_FILES]):
        return "coco"
    names, inside = ({entry.name.lower() for entry in entries} for entries in (outer, inner))
    if any(_IMAGES & there and _MASKS & there for there in (names, inside)) and _has_masks((*outer, *inner)):
        return "masks"
    return _of_labels(path)


def _has_masks(places: Iterable[Path]) -> bool:
    """Whether one of the folders that are called as those of masks are holds images, and not lists or texts alone."""
    folders = (place for place in places if place.name.lower() in _MASKS)
    inner = (entry for folder in folders for entry in _entries(folder))
    return any(is_image(file.name) for entry in inner for file in (entry, *_entries(entry)))


def _of_labels(path: Path) -> str:
    try:
        train = find_places(path, {}).parts["train"]
    except UserError:  # said when it is read
        train = "."
    if not is_list(train):
        return "imagefolder"
    return "multilabel" if gives_several(path / train) else "list"


def _entries(folder: Path) -> list[Path]:
    """The first entries of a folder, sorted; none of what is no folder."""
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        return sorted(Path(entry.path) for entry in islice(entries, _ENTRIES))
