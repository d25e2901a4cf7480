"""Where each data set lies, and which layout data of one's own has."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from crossmae.errors import UserError
from crossmae.files import DATA_VARIABLE, data_folder
from crossmae.parsing import parse, read_yaml
from transfer.datasets.listing import LIST_SUFFIXES

LAYOUTS = ("imagefolder", "list", "coco", "masks")
"""Of data of one's own, as they stand behind the path of ``--data``."""
_MASKS = frozenset({"masks", "mask", "annotations", "labels", "segmentationclass"})
_IMAGES = frozenset({"images", "image", "img", "imgs", "jpegimages"})
_LOOKED_AT = 50
"""Names of a folder that are looked at to see what it holds."""
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
    """Which of ``LAYOUTS`` the data at ``path`` has, by the names that lie there.

    Raises:
        UserError: there is nothing, or a file that is no list.
    """
    if path.is_file():
        if path.name.lower().endswith(LIST_SUFFIXES):
            return "list"
        raise UserError(f"{path} is no list of images", f"name a folder, or a file {', '.join(LIST_SUFFIXES)}")
    if not path.is_dir():
        raise UserError(f"no data at {path}", "put it there or say where it is: --data NAME=PATH")
    names = _names(path)
    inside = {name for folder in names for name in _names(path / folder)}
    if any(name.endswith(".json") for name in (*names, *inside)):
        return "coco"
    if any(_IMAGES & there and _MASKS & there for there in (names, inside)):
        return "masks"
    lists = any(name.endswith(LIST_SUFFIXES) for name in names)
    folders = any(entry.is_dir() for entry in path.iterdir() if entry.name[0] != ".")
    return "list" if lists and not folders else "imagefolder"


def _names(folder: Path) -> set[str]:
    """The first names in a folder, in small letters; none of what is no folder."""
    if not folder.is_dir():
        return set()
    with os.scandir(folder) as entries:
        return {entry.name.lower() for entry in islice(entries, _LOOKED_AT)}
