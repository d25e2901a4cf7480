"""iNaturalist of every year and Places205, each from a small tree in its exact layout."""

import json
import shutil
from pathlib import Path

import pytest

from crossmae.errors import UserError
from tests.support.labelled_images import save_image, task
from transfer.datasets.layouts import READERS


def as_of(year: int, inat: Path) -> Path:
    """The tree of 2019 with another year's names."""
    folder = {2017: "train_val_images", 2018: "train_val2018"}[year]
    root = inat.with_name(f"inat{year}")
    shutil.copytree(inat / "train_val2019", root / folder)
    for split in ("train", "val"):
        text = (inat / f"{split}2019.json").read_text().replace("train_val2019/", f"{folder}/")
        (root / f"{split}{year}.json").write_text(text)
    return root


@pytest.mark.parametrize("year", [2017, 2018])
def test_annotations_and_images_of_2017_and_2018(year: int, inat: Path) -> None:
    root = as_of(year, inat)
    reader = f"inat{year % 100}"
    train, val = READERS[reader]().read_both(root)
    assert train.classes == val.classes == ("0: Blüte 0", "5: Blüte 5", "9: Blüte 9")
    assert train.labels.tolist() == [0, 1, 2]
    assert not list(task(reader).check(root))
    with pytest.raises(UserError, match=r"train2019.json does not exist; unpack .* next to train_val2019"):
        READERS["inat19"]().read(root, "train")


def test_annotations_of_another_year_are_refused(inat: Path) -> None:
    root = as_of(2018, inat)
    content = json.loads((root / "train2018.json").read_text())
    content["categories"].extend({"id": 10 + number, "name": ""} for number in range(1007))
    (root / "train2018.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match="1,010 categories as iNaturalist 2019; put iNaturalist 2018's file there"):
        READERS["inat18"]().read(root, "train")


@pytest.mark.parametrize(("reader", "folder"), [("inat21", "train"), ("inat21_mini", "train_mini")])
def test_folders_of_2021_sort_by_their_numbers(reader: str, folder: str, tmp_path: Path) -> None:
    names = ("00000_Animalia_Annelida", "00002_Animalia_Chordata", "00010_Plantae_Rosales")
    for split in (folder, "val"):
        for name in reversed(names):
            save_image(tmp_path / split / name / f"{split}.jpg")
    train, val = READERS[reader]().read_both(tmp_path)
    assert train.classes == names
    assert train.files[1] == f"{folder}/00002_Animalia_Chordata/{folder}.jpg"
    assert val.labels.tolist() == [0, 1, 2]
    shutil.rmtree(tmp_path / folder)
    (problem, *_) = task(reader).check(tmp_path)
    assert f"{folder} does not exist; {tmp_path} needs the folders {folder} and val" in str(problem)


@pytest.fixture
def places205(tmp_path: Path) -> Path:
    lists = {
        "train": "a/abbey/gsun_1.jpg 0\na/airport_terminal/gsun_2.jpg 1\na/abbey/gsun_3.jpg 0\n",
        "val": "a/airport_terminal/gsun_4.jpg 1\na/abbey/gsun_5.jpg 0\n",
    }
    (tmp_path / "trainvalsplit_places205").mkdir()
    for split, text in lists.items():
        (tmp_path / "trainvalsplit_places205" / f"{split}_places205.csv").write_text(text)
        for line in text.splitlines():
            save_image(tmp_path / "data/vision/torralba/deeplearning/images256" / line.split()[0])
    return tmp_path


def test_places205_lists(places205: Path) -> None:
    train, val = READERS["places205"]().read_both(places205)
    assert train.classes == ("a/abbey", "a/airport_terminal")
    assert (train.labels.tolist(), val.labels.tolist()) == ([0, 1, 0], [1, 0])
    assert train.files[0] == "data/vision/torralba/deeplearning/images256/a/abbey/gsun_1.jpg"
    assert not list(task("places205").check(places205))


def test_places205_problems_are_one_line_each(places205: Path) -> None:
    lists = places205 / "trainvalsplit_places205"
    (lists / "val_places205.csv").write_text("a/abbey/gsun_5.jpg 7\n")
    (problem,) = task("places205").check(places205)
    assert "val_places205.csv does not number its classes 0, 1, ..." in str(problem)
    (lists / "val_places205.csv").unlink()
    (problem,) = task("places205").check(places205)
    assert "val_places205.csv does not exist; unpack trainvalsplit_places205.tar.gz there" in str(problem)
    shutil.rmtree(places205 / "data")
    with pytest.raises(UserError, match="has no folder data/vision/torralba/deeplearning/images256"):
        READERS["places205"]().read(places205, "train")
