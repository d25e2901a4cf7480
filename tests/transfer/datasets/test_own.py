"""Labelled images of one's own: read as they lie there, and one line for each thing that is wrong with them."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from unicodedata import normalize

import pytest

from crossmae.data.staging.forms import Form
from crossmae.data.staging.stage import Staging
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


def first_line(root: Path, **options: str) -> str:
    return next(iter(OwnImages(options).describe(root)))


@pytest.mark.parametrize("layout", ["lists", "folders"])
def test_what_is_called_test_is_no_validation_set_unless_a_task_names_it(tmp_path: Path, layout: str) -> None:
    if layout == "lists":
        listed(tmp_path, name="train.csv")
        (tmp_path / "test.csv").write_text("file,label\npictures of mine/0 ü.png,wolf\n")
    else:
        folder_of_classes(tmp_path / "train")
        folder_of_classes(tmp_path / "test", 1)
    place = "test.csv" if layout == "lists" else "test"
    train, val = OwnImages().read_both(tmp_path)
    assert len(val) == (2 if layout == "lists" else 3)
    assert not any(file.startswith("test/") for file in (*train.files, *val.files))
    assert not set(train.files) & set(val.files)
    said = f"{place} is left alone, a part of train is held out; val: {place} would be taken instead"
    assert said in first_line(tmp_path)
    given = OwnImages({"val": place}).read_both(tmp_path)[1]
    assert len(given) == (1 if layout == "lists" else 3)
    assert "left alone" not in first_line(tmp_path, val=place)


@pytest.mark.parametrize("cached", [False, True])
def test_a_list_in_a_folder_of_the_data_may_name_files_relative_to_itself(tmp_path: Path, cached: bool) -> None:
    root = tmp_path / "data"
    outer = listed(root)  # names files relative to the data
    listed(root / "train set", name="train.csv")  # relative to the folder of the list
    (root / "meta").mkdir()
    (root / "pictures of mine").rename(root / "photos")
    (root / "meta" / "labels.csv").write_text(outer.read_text().replace("pictures of mine", "photos"))
    outer.unlink()
    if cached:
        Staging(root, tmp_path / "cache", Form("jpeg", 400), processes=0).run()
        root = tmp_path / "cache"
    train, val = OwnImages({"train": "train set/train.csv", "val": "meta/labels.csv"}).read_both(root)
    assert train.files[0] == "train set/pictures of mine/0 ü.png"
    assert val.files[0] == "photos/0 ü.png"
    assert not problems(root, train="train set/train.csv", val="meta/labels.csv")
    assert "train.csv names images that are called train set/NAME" in first_line(root, train="train set/train.csv")
    assert "called" not in first_line(root, train="meta/labels.csv")
    (line, *_) = problems(root / "meta" / "labels.csv")
    assert "missing; add them, or correct their names, which are taken relative to" in line


@pytest.mark.parametrize(("folder", "suffix"), [("train_images/", ""), ("", ".jpg"), ("0000 ü/", ".jpg")])
def test_lists_that_leave_out_the_folder_or_the_suffix_are_read(tmp_path: Path, folder: str, suffix: str) -> None:
    """As those of competitions do."""
    files = [f"{number:04d} ü.jpg" for number in range(6)]
    for file in files:
        save_image(tmp_path / folder / file)
    rows = "".join(f"{file.removesuffix(suffix)},{number % 2}\n" for number, file in enumerate(files))
    (tmp_path / "train.csv").write_text(f"image_id,label\n{rows}")
    (tmp_path / "sample_submission.csv").write_text("image_id,label\n")
    assert not problems(tmp_path)
    assert sorted(file for part in OwnImages().read_both(tmp_path) for file in part.files) == [
        f"{folder}{f}" for f in files
    ]
    assert f"train.csv names images that are called {folder}NAME{suffix}" in first_line(tmp_path)
    save_image(tmp_path / "more" / "0000 ü.jpg")
    save_image(tmp_path / folder / "0000 ü.png")
    assert bool(problems(tmp_path)) == bool(folder or suffix)


def test_a_list_with_the_paths_of_windows_is_read_and_cannot_leave_the_folder(tmp_path: Path) -> None:
    listed(tmp_path)
    text = (tmp_path / "labels.csv").read_text()
    (tmp_path / "labels.csv").write_text(text.replace("/", "\\"))
    assert not problems(tmp_path)
    assert OwnImages().read_both(tmp_path)[0].files[0].startswith("pictures of mine/")
    assert "the backslashes of labels.csv separate folders" in first_line(tmp_path)
    (tmp_path / "labels.csv").write_text("file,label\n..\\secret.png,cat\n")
    assert "line 2 leaves the data folder: '../secret.png'" in problems(tmp_path)[0]


def test_a_name_in_another_form_of_unicode_is_told_apart_from_a_missing_file(tmp_path: Path) -> None:
    listed(tmp_path)
    text = (tmp_path / "labels.csv").read_text()
    (tmp_path / "labels.csv").write_text(normalize("NFD", text))
    assert "is there with its accents in another form of Unicode" in problems(tmp_path)[0]


def test_a_folder_around_the_class_folders_is_named(tmp_path: Path) -> None:
    folder_of_classes(tmp_path / "pets-main")
    assert problems(tmp_path)[0].endswith(f"if the folders in it are the classes, give {tmp_path / 'pets-main'}")
    assert not problems(tmp_path / "pets-main")


def test_what_macos_packs_and_folders_of_lists_are_no_classes(tmp_path: Path) -> None:
    root = folder_of_classes(tmp_path)
    (root / "__MACOSX").mkdir()
    (root / "__MACOSX" / "._cat").write_bytes(b"")
    assert not problems(root)
    (root / "meta").mkdir()
    (root / "meta" / "all.csv").write_text("file,label\n")
    (line,) = problems(root)
    assert line.endswith(
        "meta holds no image; add some, or remove the folder, or name its list in a task file: train: meta/all.csv"
    )


def test_a_test_set_without_labels_stops_nothing(tmp_path: Path) -> None:
    listed(tmp_path, name="train.csv")
    (tmp_path / "test.csv").write_text("file\npictures of mine/0 ü.png\n")
    assert not problems(tmp_path)
    (line,) = problems(tmp_path, val="test.csv")
    assert "test.csv has no column of labels" in line


def test_rows_of_the_split_test_are_left_alone_unless_a_task_names_them(tmp_path: Path) -> None:
    rows = "".join(f"pictures of mine/{n} ü.png,{n % 2},{'test' if n > 3 else 'train'}\n" for n in range(6))
    path = listed(tmp_path, f"file,label,split\n{rows}")
    for root in (path, tmp_path):
        files = [images.files for images in OwnImages().read_both(root)]
        assert sorted(map(len, files)) == [2, 2]
        assert not [file for part in files for file in part if file[len("pictures of mine/")] in "45"]
        assert "2 rows of the split test are left alone, a part of train is held out; val: test" in first_line(root)
        given = OwnImages({"val": "Test"}).read_both(root)[1]
        assert given.files == ("pictures of mine/4 ü.png", "pictures of mine/5 ü.png")
    (line,) = problems(path, val="kept back")
    assert "no row is of the split 'kept back'; val: names a split, a list or a folder" in line
    path.write_text(f"file,label,split\n{rows.replace('3 ü.png,1,train', '3 ü.png,1,val')}")
    assert OwnImages().read_both(path)[1].files == ("pictures of mine/3 ü.png",)
    assert first_line(path).endswith("2 rows of the split test are left alone")


@pytest.mark.parametrize("options", [{}, {"val": "val"}], ids=["list", "folder"])
def test_a_column_of_splits_does_not_contradict_a_validation_set(tmp_path: Path, options: dict[str, str]) -> None:
    rows = [f"pictures of mine/{n} ü.png,{'wolf' if n % 2 else 'NA'},train\n" for n in range(6)]
    path = listed(tmp_path, f"file,label,split\n{''.join(rows)}", "train.csv")
    for name in ("wolf", "NA"):
        save_image(tmp_path / "val" / name / "9.png", side=30)
    if not options:
        (tmp_path / "val.csv").write_text("file,label,split\nval/wolf/9.png,wolf,val\nval/NA/9.png,NA,val\n")
    assert not problems(tmp_path, **options)
    assert [len(images) for images in OwnImages(options).read_both(tmp_path)] == [6, 2]
    path.write_text(path.read_text().replace("5 ü.png,wolf,train", "5 ü.png,wolf,val"))
    (line,) = problems(tmp_path, **options)
    assert "train.csv is the list of train, and its column of splits holds val; keep one list with that column" in line


def test_of_a_list_and_class_folders_the_list_counts_and_that_is_said(tmp_path: Path) -> None:
    folder_of_classes(tmp_path / "plain")
    listed(tmp_path / "plain")
    assert OwnImages().read_both(tmp_path / "plain")[0].classes == ("NA", "wolf")
    choice = "the list labels.csv is read, not the 4 folders: a list counts first; layout: imagefolder reads those"
    assert choice in first_line(tmp_path / "plain")
    assert "cat" in OwnImages({"layout": "imagefolder"}).read_both(tmp_path / "plain")[0].classes

    with_splits(tmp_path / "splits")
    listed(tmp_path / "splits", name="train.csv")
    assert OwnImages().read_both(tmp_path / "splits")[0].classes == ("NA", "wolf")
    assert "the list train.csv is read, not the class folders in train" in first_line(tmp_path / "splits")
    assert len(OwnImages({"layout": "imagefolder"}).read_both(tmp_path / "splits")[1]) == 6

    (tmp_path / "splits" / "train.csv").rename(tmp_path / "splits" / "labels.csv")
    assert len(OwnImages().read_both(tmp_path / "splits")[1]) == 6
    assert "the folder train is read and labels.csv is not; train: NAME reads a list" in first_line(tmp_path / "splits")
    assert OwnImages({"layout": "list"}).read_both(tmp_path / "splits")[0].classes == ("NA", "wolf")


def test_lists_of_which_none_is_the_training_one_are_one_line(tmp_path: Path) -> None:
    root = folder_of_classes(tmp_path)
    for name in ("one.csv", "two.csv"):
        listed(root, name=name)
    (line,) = problems(root)
    assert (
        "holds one.csv, two.csv, and nothing says which is the training list; train: NAME in a task file does" in line
    )
    assert line.endswith("layout: imagefolder reads folders")
    assert not problems(root, train="one.csv")
    assert not problems(root, layout="imagefolder")
    for name in ("one.csv", "two.csv"):
        (root / name).unlink()
    listed(root, name="test.csv")
    assert "test.csv is left alone" in first_line(root)


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
    rows += [
        ("Valid" if n < 2 else "train", str(n % 2 * 10 + 2), "20", f"pictures of mine/{n} ü.png") for n in range(6)
    ]
    path = listed(tmp_path, "﻿" + "".join(separator.join(row) + "\n" for row in rows))
    train, val = OwnImages().read_both(path)
    assert train.classes == ("2", "12")
    assert (len(train), len(val)) == (4, 2)
    assert not problems(path)


def test_a_list_next_to_class_folders_counts_unless_somebody_says_otherwise(tmp_path: Path) -> None:
    root = folder_of_classes(tmp_path)
    (root / "notes.csv").write_text("who,when\nme,now\n")
    assert "notes.csv has no column of files" in problems(root)[0]
    assert problems(root)[0].endswith(", or read the folders: layout: imagefolder")
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
    assert noted["choices"] == []
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


def maze(root: Path) -> None:
    """Four folders, each with four ways into the next, of which nothing leads back."""
    for depth in range(6):
        (root / f"hidden/{depth}").mkdir(parents=True)
        for way in range(4):
            (root / f"hidden/{depth}/{way}").symlink_to(f"../{depth + 1}")
    (root / "train" / "cat" / "in").symlink_to("../../hidden/0")
    save_image(root / "hidden" / "6" / "0.png")


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
    "a maze of links": (maze, "more than 100 paths lead to"),
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
