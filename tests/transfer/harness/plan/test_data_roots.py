"""Which layout somebody's data has is seen by names and by what JSON files begin with."""

import json
import os
from pathlib import Path
from time import process_time

import pytest

from tests.support.labelled_images import save_image
from transfer.harness.plan.data_roots import recognise


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    for name in ("cats", "Dogs"):
        save_image(tmp_path / name / "1.png")
    return tmp_path


@pytest.mark.parametrize(
    "content",
    [
        '{"images": {"a": 1}, "made by": [{"images": 1}]}',
        '{"settings": {"images": [{"id": 1}]}, "text": "\\"images\\": [{"}',
        '[{"images": [{}]}]',
        '"images": [{"id": 1}]',
        '{"images": ["cats/1.png"]}',
        "no JSON",
        "",
    ],
)
@pytest.mark.parametrize("place", ["notes.json", "Dogs/notes.json"])
def test_a_json_file_of_another_kind_makes_no_boxes(pets: Path, content: str, place: str) -> None:
    (pets / place).write_text(content)
    assert recognise(pets) == "imagefolder"


@pytest.mark.parametrize(
    "content",
    [
        '{"info": {"images": [1, 2]}, "images" : [ {"id": 1}], "annotations": []}',
        '\ufeff{"licenses": [{"name": "a \\"quoted\\" [one]"}], "annotations": [{"id": 1',
        json.dumps({"images": [], "annotations": [], "categories": []}),
    ],
)
@pytest.mark.parametrize("place", ["my.json", "Dogs/_annotations.JSON"])
def test_what_begins_as_cocos_files_is_taken_for_one(pets: Path, content: str, place: str) -> None:
    (pets / place).write_text(content)
    assert recognise(pets) == "coco"


def test_huge_and_odd_files_are_looked_at_in_no_time(pets: Path) -> None:
    for number, text in enumerate(('"' * 2**21, '\\"' * 2**20, '["' * 2**20, " " * 2**21)):
        (pets / f"{number}.json").write_text("{" + text)
    os.mkfifo(pets / "pipe.json")
    begin = process_time()
    assert recognise(pets) == "imagefolder"
    assert process_time() - begin < 5


@pytest.mark.parametrize(
    ("images", "masks", "layout"),
    [
        ("images/0.jpg", "masks/0.png", "masks"),
        ("images/train/0.jpg", "labels/train/0.png", "masks"),
        ("train/images/0.jpg", "train/masks/0.png", "masks"),
        ("JPEGImages/0.jpg", "SegmentationClass/0.png", "masks"),
        ("images/0.jpg", "annotations/labels.csv", "imagefolder"),
        ("images/train/0.jpg", "labels/train/0.txt", "imagefolder"),
    ],
)
def test_masks_are_images_and_no_lists_or_texts(tmp_path: Path, images: str, masks: str, layout: str) -> None:
    for file in (images, masks):
        if Path(file).suffix in (".jpg", ".png"):
            save_image(tmp_path / file)
        else:
            (tmp_path / file).parent.mkdir(parents=True)
            (tmp_path / file).write_text("")
    assert recognise(tmp_path) == layout
