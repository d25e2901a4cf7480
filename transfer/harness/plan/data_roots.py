"""Where each data set lies."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from crossmae.errors import UserError
from crossmae.files import DATA_VARIABLE, data_folder
from crossmae.parsing import parse, read_yaml

DATA_FILE = Path("data.yaml")
_PRETRAINING, _PRETRAINED_ON = "pretrain", "imagenet"


@dataclass(frozen=True)
class DataRoots:
    """Folders by data set name; a set that is not named lies in ``data/NAME`` (``CROSSMAE_DATA`` moves ``data``)."""

    named: dict[str, Path]
    demo: bool = False

    def of(self, dataset: str) -> Path:
        """The folder of ``dataset``, whether it exists or not."""
        if dataset in self.named:
            return self.named[dataset]
        if dataset == _PRETRAINING and not self.demo:
            return self.of(_PRETRAINED_ON)
        base = data_folder()
        return base / "demo" / dataset if self.demo else base / dataset


def data_roots(assignments: Iterable[str] = (), demo: bool = False) -> DataRoots:
    """From ``NAME=PATH`` assignments, over ``CROSSMAE_DATA_<NAME>`` variables, over ``data.yaml`` of this folder.

    Demo data is written by us: only an assignment moves it.

    Raises:
        UserError: an assignment or ``data.yaml`` that is malformed.
    """
    named = {} if demo else {**_from_file(), **_from_environment()}
    for assignment in assignments:
        name, equals, path = assignment.partition("=")
        if not equals or not path:
            raise UserError(f"--data {assignment}: give NAME=PATH, such as --data coco=/datasets/coco")
        named[name] = Path(path).expanduser()
    return DataRoots(named, demo)


def _from_environment() -> dict[str, Path]:
    prefix = f"{DATA_VARIABLE}_"
    return {key.removeprefix(prefix).lower(): Path(path) for key, path in os.environ.items() if key.startswith(prefix)}


def _from_file() -> dict[str, Path]:
    if not DATA_FILE.is_file():
        return {}
    folders = parse(dict[str, str], read_yaml(DATA_FILE), f"{DATA_FILE} (lines of `name: folder`)")
    return {name: Path(path).expanduser() for name, path in folders.items()}
