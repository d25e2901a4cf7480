"""Real downloads hold more than good images: each fault is named by ``check``, or the file is read all the same."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from crossmae.data.decode import read_rgb
from tests.support.labelled_images import task, write_json
from transfer.datasets.layouts import READERS
from transfer.datasets.reader import Size


def problems(reader: str, root: Path, size: Size) -> list[str]:
    size.write(root)
    return [str(problem) for problem in task(reader).check(root)]


def test_places_categories_without_images_are_named(places: Path) -> None:
    with open(places / "categories_places365.txt", "a") as file:
        file.write("/b/bakery/shop 2\n")
    assert [line.partition("): ")[2] for line in problems("places365", places, Size(3, 3, 2))] == [
        "1 classes (/b/bakery/shop) without images; complete the data set",
        "1 classes (/b/bakery/shop) without images; complete the data set",
    ]


def test_an_annotation_of_an_image_that_is_not_listed_is_named(inat: Path) -> None:
    content = json.loads((inat / "val2019.json").read_text())
    content["annotations"][0]["image_id"] = 999
    write_json(inat / "val2019.json", content)
    (only,) = problems("inat19", inat, Size(3, 3, 3))
    assert "val2019.json: image, category or field 102 is not there" in only


def test_empty_files_are_named(imagenet: Path, inat: Path, places: Path) -> None:
    for reader, root, file, size in (
        ("imagenet", imagenet, "val/n01440764/val_1.JPEG", Size(2, 3, 3)),
        ("inat19", inat, "train_val2019/Plants/5/val1.jpg", Size(3, 3, 3)),
        ("places365", places, "val_256/Places365_val_00000002.jpg", Size(2, 3, 2)),
    ):
        (root / file).write_bytes(b"")
        (only,) = problems(reader, root, size)
        assert f"1 images ({file}) cannot be read; copy them again" in only


@pytest.mark.parametrize("mode", ["L", "CMYK", "P", "RGBA", "1"])
def test_images_of_every_mode_under_names_beyond_ascii_are_read(inat: Path, mode: str) -> None:
    suffix = "png" if mode in ("P", "RGBA", "1") else "jpg"
    name = f"train_val2019/Plants/0/Zürich 東京.{suffix}"
    content = json.loads((inat / "train2019.json").read_text())
    shutil.move(inat / content["images"][0]["file_name"], inat / name)
    content["images"][0]["file_name"] = name
    write_json(inat / "train2019.json", content)
    Image.new("RGB", (30, 20), (255, 255, 255)).convert(mode).save(inat / name)
    assert problems("inat19", inat, Size(3, 3, 3)) == []
    train = READERS["inat19"]().read(inat, "train")
    picture = read_rgb(inat / train.files[0])
    assert (picture.mode, picture.size) == ("RGB", (30, 20))
    assert np.asarray(picture).min() >= 250
