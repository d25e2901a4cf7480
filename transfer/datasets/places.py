"""Where the splits of somebody's labelled images lie, by the names of folders and lists; what two readings allow."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from crossmae.data.open import entries
from crossmae.errors import UserError
from transfer.datasets.listing import LIST_SUFFIXES

TRAIN = ("train", "training")
VAL = ("val", "valid", "validation")
TEST = "test"


class Places(NamedTuple):
    """Folders or lists by split, ``train`` and perhaps ``val``; and what was chosen where names leave a choice."""

    parts: dict[str, str]
    choices: tuple[str, ...] = ()
    over_folders: bool = False
    """Whether a list was taken where class folders might have been meant."""


def is_list(place: str) -> bool:
    """Whether a file of this name is taken for a list."""
    return place.lower().endswith(LIST_SUFFIXES)


def find_places(root: Path, options: Mapping[str, str]) -> Places:
    """The splits by what folders or lists in ``root`` are called; ``root`` itself where nothing is called so.

    The first of these is the training set: a list called train; a folder called train; the only list; class folders.
    What is called test is left alone.

    Args:
        options: ``train``, ``val`` name places; with ``layout: imagefolder`` lists do not count; with ``list`` or
            ``multilabel`` folders do not.

    Raises:
        UserError: lists of which none can be told to be the training one.
    """
    said = {split: options[split] for split in ("train", "val") if split in options}
    if "train" in said:
        return Places(said)
    layout = options.get("layout")
    folders, files = (sorted(name for name in names if name[0] != ".") for names in entries(root))
    folders = [] if layout in ("list", "multilabel") else folders
    lists = {Path(name).stem.lower(): name for name in files if is_list(name) and layout != "imagefolder"}
    called = {name.lower(): name for name in folders}
    of_classes = any(name in called and entries(root / called[name])[0] for name in TRAIN)
    if parts := _parts(lists):
        return _over("the class folders in train" if of_classes else "", lists, {**parts, **said})
    if (parts := _parts(called)) and (of_classes or not lists):
        others = ", ".join(name for word, name in lists.items() if word != TEST)
        choice = f"the folder {parts['train']} is read and {others} is not; train: NAME reads a list"
        return Places({**parts, **said}, ((choice,) if others else ()) + _left_alone(called | lists, {**parts, **said}))
    candidates = [name for word, name in lists.items() if word not in (*VAL, TEST)]
    if len(candidates) == 1:
        parts = {"train": candidates[0], **_val(lists), **said}
        return _over(f"the {len(folders)} folders" if len(folders) > 1 else "", lists, parts)
    if candidates or _val(lists) or (lists and not folders):
        what = f"{root} holds {', '.join(sorted(lists.values())[:4])}, and nothing says which is the training list"
        raise UserError(what, f"train: NAME in a task file does{'; layout: imagefolder reads folders' * bool(folders)}")
    return Places({"train": ".", **said}, _left_alone(lists, said))


def _parts(names: Mapping[str, str]) -> dict[str, str]:
    train = next((names[name] for name in TRAIN if name in names), None)
    return {"train": train, **_val(names)} if train else {}


def _val(names: Mapping[str, str]) -> dict[str, str]:
    return next(({"val": names[name]} for name in VAL if name in names), {})


def _over(folders: str, lists: Mapping[str, str], parts: dict[str, str]) -> Places:
    choice = f"the list {parts['train']} is read, not {folders}: a list counts first; layout: imagefolder reads those"
    return Places(parts, ((choice,) if folders else ()) + _left_alone(lists, parts), bool(folders))


def _left_alone(names: Mapping[str, str], parts: Mapping[str, str]) -> tuple[str, ...]:
    if TEST not in names or "val" in parts:
        return ()
    return (f"{names[TEST]} is left alone, a part of train is held out; val: {names[TEST]} would be taken instead",)
