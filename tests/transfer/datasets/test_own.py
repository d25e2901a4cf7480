"""Labelled images of one's own: read as they lie there, and one line for each thing that is wrong with them."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from crossmae.errors import UserError
from tests.support.labelled_images import save_image, task
from transfer.datasets.own import OwnImages
from transfer.task import Context

CLASSES = ("cat", "dog häßlich", "red fox")


def folder_of_classes(root: Path, count: int = 5) -> Path:
    for name in CLASSES:
        for number in range(count):
            save_image(root / name / f"{number} ü{'x' * number}.jpg")
    return root


def with_splits(root: Path) -> Path:
    for split in ("train", "val"):
        folder_of_classes(root / split, 2)
    return root


def listed(root: Path, text: str | None = None, name: str = "labels.csv") -> Path:
    """Six images in a folder of their own, and the list of them."""
    files = [f"pictures of mine/{number} ü.png" for number in range(6)]
    for number, file in enumerate(files):
        save_image(root / file, side=20 + number)
    rows = "".join(f"{file},{'NA' if number % 2 else 'wolf'}\n" for number, file in enumerate(files))
    (root / name).write_text(f"file,label\n{rows}" if text is None else text)
    return root / name


def problems(root: Path, **options: str) -> list[str]:
    return [str(problem) for problem in OwnImages(options).check(root)]


def test_classes_come_from_the_folders_and_the_split_from_the_names(tmp_path: Path) -> None:
    root = folder_of_classes(tmp_path / "here")
    train, val = OwnImages().read_both(root)
    assert train.classes == val.classes == CLASSES
    assert (len(train), len(val)) == (12, 3)
    assert sorted(val.labels.tolist()) == [0, 1, 2]
    assert not set(train.files) & set(val.files)

    shutil.copytree(root, tmp_path / "there")
    for stray in ("notes.txt", ".cat.jpg"):
        (tmp_path / "there" / "cat" / stray).write_text("")
    assert OwnImages().read_both(tmp_path / "there")[1].files == val.files
    assert OwnImages().fingerprint(tmp_path / "there") == OwnImages().fingerprint(root)
    (description,) = OwnImages().describe(root)
    assert "3 classes, 12 training and 3 validation images (a fifth of each class" in description
    assert "20 to 20 pixels wide" in description


def test_given_splits_are_taken_whatever_they_are_called(tmp_path: Path) -> None:
    root = with_splits(tmp_path)
    (root / "train").rename(root / "Training")
    (root / "val").rename(root / "valid")
    train, val = OwnImages().read_both(root)
    assert (len(train), len(val)) == (6, 6)
    (root / "valid").rename(root / "kept back")
    assert len(OwnImages({"val": "kept back"}).read_both(root)[1]) == 6
    assert not problems(root, val="kept back")


def test_a_list_is_read_with_its_own_words(tmp_path: Path) -> None:
    train, val = OwnImages().read_both(listed(tmp_path))
    assert train.classes == ("NA", "wolf")
    assert train.root == tmp_path
    assert (len(train), len(val)) == (4, 2)
    assert not problems(tmp_path / "labels.csv")
    assert not problems(tmp_path)  # the folder of the list


@pytest.mark.parametrize("separator", [";", "\t"])
def test_columns_and_separators_of_other_people(tmp_path: Path, separator: str) -> None:
    rows = [("split", "Class", "width", "image_path")]
    rows += [("test" if n < 2 else "train", str(n % 2 * 10 + 2), "20", f"pictures of mine/{n} ü.png") for n in range(6)]
    path = listed(tmp_path, "﻿" + "".join(separator.join(row) + "\n" for row in rows))
    train, val = OwnImages().read_both(path)
    assert train.classes == ("2", "12")
    assert (len(train), len(val)) == (4, 2)
    assert not problems(path)


def test_a_list_next_to_class_folders_counts_unless_somebody_says_otherwise(tmp_path: Path) -> None:
    root = folder_of_classes(tmp_path)
    (root / "notes.csv").write_text("who,when\nme,now\n")
    assert "notes.csv has no column of files" in problems(root)[0]
    assert not problems(root, layout="imagefolder")


def test_links_are_followed_and_folders_below_classes_too(tmp_path: Path) -> None:
    root = folder_of_classes(tmp_path / "data", 2)
    save_image(tmp_path / "elsewhere" / "far.png")
    (root / "cat" / "link.png").symlink_to(tmp_path / "elsewhere" / "far.png")
    (root / "cat" / "more").symlink_to(tmp_path / "elsewhere")
    train, val = OwnImages().read_both(root)
    assert {"cat/link.png", "cat/more/far.png"} <= {*train.files, *val.files}
    assert not problems(root)


def test_what_is_odd_and_no_mistake_is_said(tmp_path: Path) -> None:
    root = with_splits(tmp_path)
    shutil.rmtree(root / "val" / "cat")
    shutil.copy(root / "train" / "red fox" / "0 ü.jpg", root / "val" / "red fox" / "copy.jpg")
    assert not problems(root)
    _, lacking, twice = OwnImages().describe(root)
    assert lacking.endswith("1 classes have no validation image (cat)")
    assert twice.endswith("1 validation images are training images too, byte for byte (val/red fox/copy.jpg)")


def test_a_run_keeps_what_it_was_given(tmp_path: Path) -> None:
    root, context = folder_of_classes(tmp_path / "data"), Context(tmp_path / "run", tmp_path / "data", seed=0)
    context.folder.mkdir()
    adapter = task("own")
    train, val = adapter.reader.read_both(root)
    adapter.reader.note(context, train, val)
    noted = json.loads((context.folder / context.artifacts["data"]).read_text())
    assert noted["classes"]["cat"] == {"train": 4, "val": 1}
    assert noted["validation"].startswith("a fifth of each class")
    assert context.deviations == []


Change = Callable[[Path], None]


def remove(*paths: str) -> Change:
    def change(root: Path) -> None:
        for path in paths:
            shutil.rmtree(root / path)

    return change


def make(path: str) -> Change:
    def change(root: Path) -> None:
        shutil.rmtree(root / path, ignore_errors=True)
        (root / path).mkdir()

    return change


def write(path: str, content: bytes) -> Change:
    def change(root: Path) -> None:
        (root / path).write_bytes(content)

    return change


def link(path: str, target: str) -> Change:
    def change(root: Path) -> None:
        (root / path).symlink_to(target)

    return change


def pipe(path: str) -> Change:
    def change(root: Path) -> None:
        os.mkfifo(root / path)

    return change


def flatten(root: Path) -> None:
    make("train")(root)
    save_image(root / "train" / "a.png")


BROKEN_FOLDERS: dict[str, tuple[Change, str]] = {
    "class in val only": (remove("train/cat"), "1 classes have validation and no training images (cat); move some"),
    "empty validation": (make("val"), "val is empty; it needs"),
    "one class only": (remove("train/dog häßlich", "train/red fox"), "one class only (cat)"),
    "class without images": (make("train/ape"), "train/ape holds no image; add some"),
    "flat folder": (flatten, "train is flat: 1 images and no class folders"),
    "torn image": (write("train/cat/torn.png", b"\x89PNG torn"), "1 images (train/cat/torn.png) cannot be read"),
    "empty image": (write("val/cat/none.jpg", b""), "(val): 1 images (val/cat/none.jpg) cannot be read"),
    "link to nothing": (link("train/cat/gone.png", "nowhere.png"), "1 images (train/cat/gone.png) cannot be read"),
    "a pipe": (pipe("train/cat/pipe.png"), "(train/cat/pipe.png) cannot be read"),
    "links in a circle": (link("train/cat/back", "."), "folders deep; is there a link that leads back?"),
    "nothing there": (shutil.rmtree, "does not exist; name the folder or the list"),
}


@pytest.mark.parametrize("name", BROKEN_FOLDERS)
def test_a_broken_folder_is_one_line(name: str, tmp_path: Path) -> None:
    root = with_splits(tmp_path / "data")
    change, expected = BROKEN_FOLDERS[name]
    assert not problems(root)
    change(root)
    (line,) = problems(root)
    assert expected in line


ROW = "pictures of mine/0 ü.png,wolf\n"
BROKEN_LISTS = {
    "other columns": ("name,animal\n" + ROW, "has no column of files, only name, animal; call it 'file', or name it"),
    "no label column": ("file,animal\n" + ROW, "has no column of labels, only file, animal"),
    "no rows": ("file,label\n", "has no rows"),
    "nothing at all": ("", "is no readable table"),
    "no label": (f"file,label\n{ROW}pictures of mine/1 ü.png,\n", "line 3 has no label; fill it in"),
    "too many cells": (f"file,label\n{ROW}a.png,b,c,d\n", "is no readable table"),
    "named twice": (f"file,label\n{ROW}{ROW}", "line 3 names 'pictures of mine/0 ü.png', as line 2 does"),
    "leaves the folder": ("file,label\n../../etc/passwd,wolf\n", "line 2 leaves the data folder: '../../etc/passwd'"),
    "absolute": ("file,label\n/etc/passwd,wolf\n", "line 2 leaves the data folder"),
    "no such file": (
        f"file,label\n{ROW}gone.png,wolf\npictures of mine/1 ü.png,x\npictures of mine/2 ü.png,x\n",
        "(gone.png) missing",
    ),
    "one class": (f"file,label\n{ROW}", "one class only (wolf)"),
    "unknown split": ("file,label,split\npictures of mine/0 ü.png,wolf,later\n", "its column of splits holds later"),
    "nothing to hold out": (f"file,label\n{ROW}pictures of mine/1 ü.png,x\n", "no class has two training images"),
}


@pytest.mark.parametrize("name", BROKEN_LISTS)
def test_a_broken_list_is_one_line(name: str, tmp_path: Path) -> None:
    text, expected = BROKEN_LISTS[name]
    (line,) = problems(listed(tmp_path, text))
    assert expected in line


def test_a_list_of_another_encoding_is_named(tmp_path: Path) -> None:
    path = listed(tmp_path)
    path.write_bytes("file,label\nmüll.png,a\n".encode("latin-1"))
    (line,) = problems(path)
    assert "is no text in UTF-8" in line


def test_column_names_may_be_said(tmp_path: Path) -> None:
    path = listed(tmp_path, "name,animal\n" + "".join(f"pictures of mine/{n} ü.png,{n % 2}\n" for n in range(6)))
    assert not problems(path, file_column="name", label_column="animal")
    with pytest.raises(UserError, match="no column called 'genus'"):
        OwnImages({"file_column": "name", "label_column": "genus"}).read(path, "train")
