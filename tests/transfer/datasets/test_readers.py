"""Data sets are read as they lie on disk, and what is wrong with them is said by name."""

import json
import re
import shutil
from pathlib import Path

import pytest

from crossmae.data.decode import read_rgb
from crossmae.errors import UserError
from tests.support.labelled_images import save_image, task, write_json
from transfer.datasets.layouts import READERS, reader_of
from transfer.datasets.reader import Size
from transfer.task import Context


def problems(reader: str, root: Path, size: Size | None = None) -> str:
    """All that ``check`` says, as one text."""
    if size is not None:
        size.write(root)
    return "\n".join(str(problem) for problem in task(reader).check(root))


def test_imagenet_folders(imagenet: Path) -> None:
    train, val = READERS["imagenet"]().read_both(imagenet)
    assert train.classes == ("n01440764", "n01443537")
    assert train.files == (
        "train/n01440764/größe.JPEG",
        "train/n01440764/train_1.JPEG",
        "train/n01443537/train_2.jpg",
    )
    assert train.labels.tolist() == val.labels.tolist() == [0, 0, 1]
    assert {read_rgb(imagenet / file).mode for file in train.files} == {"RGB"}
    assert not problems("imagenet", imagenet, Size(2, 3, 3))


def test_counts_that_differ_from_the_published_ones_are_noted_and_stop_nothing(imagenet: Path, tmp_path: Path) -> None:
    adapter, context = task("imagenet"), Context(tmp_path, imagenet, seed=0)
    assert not problems("imagenet", imagenet)
    adapter.reader.note(context, *adapter.reader.read_both(imagenet))
    assert context.deviations == [
        "2 classes (published: 1,000)",
        "3 training images (published: 1,281,167)",
        "3 validation images (published: 50,000)",
    ]
    assert [*adapter.describe(imagenet)] == [f"{imagenet}: {text}" for text in context.deviations]


def test_generated_data_must_have_the_counts_that_were_written(imagenet: Path) -> None:
    lines = problems("imagenet", imagenet, Size(3, 4, 3))
    assert "2 classes instead of 3" in lines
    assert "3 images instead of 4" in lines


def test_flat_validation_folder_says_how_to_sort_it(imagenet: Path) -> None:
    shutil.rmtree(imagenet / "val")
    save_image(imagenet / "val" / "ILSVRC2012_val_00000001.JPEG")
    assert "is flat: 1 images" in problems("imagenet", imagenet, Size(2, 3, 3))
    assert "ILSVRC2012_validation_ground_truth.txt" in problems("imagenet", imagenet)
    with pytest.raises(UserError, match="is flat"):
        READERS["imagenet"]().read_both(imagenet)


def test_imagenet_problems_are_all_named_at_once(imagenet: Path) -> None:
    (imagenet / "train" / "n01443537" / "train_2.jpg").unlink()
    (imagenet / "val" / "n01440764" / "val_1.JPEG").write_bytes(b"torn")
    (imagenet / "val" / "n09999999").mkdir()
    lines = problems("imagenet", imagenet, Size(2, 2, 3))
    assert "(train): 1 classes (n01443537) without images" in lines
    assert "(val): 1 images (val/n01440764/val_1.JPEG) cannot be read" in lines
    assert "train and val have different classes (n09999999)" in lines


def test_missing_folder_is_one_problem(tmp_path: Path) -> None:
    for reader in READERS:
        assert problems(reader, tmp_path / "nowhere").count("does not exist") == 1


def test_inat_json(inat: Path) -> None:
    train, val = READERS["inat19"]().read_both(inat)
    assert train.classes == val.classes == ("0: Blüte 0", "5: Blüte 5", "9: Blüte 9")
    assert train.labels.tolist() == [0, 1, 2]
    assert train.files[1] == "train_val2019/Plants/5/train1.jpg"
    assert not problems("inat19", inat, Size(3, 3, 3))


def test_inat_missing_files_and_empty_classes(inat: Path) -> None:
    (inat / "train_val2019/Plants/5/val1.jpg").unlink()
    content = json.loads((inat / "train2019.json").read_text())
    content["categories"].append({"id": 11, "name": "none", "supercategory": "Plants"})
    write_json(inat / "train2019.json", content)
    lines = problems("inat19", inat, Size(3, 3, 3))
    assert "(val): 1 files (train_val2019/Plants/5/val1.jpg) missing" in lines
    assert "1 classes (11: none) without images" in lines
    assert "4 classes instead of 3" in lines
    assert "different classes (11: none)" in lines


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["annotations"].pop(), "image, category or field 0 is not there"),
        (lambda c: c["annotations"][0].update(category_id=77), "image, category or field 77 is not there"),
        (lambda c: c["annotations"].append({"id": 9, "image_id": 0, "category_id": 5}), "4 annotations for 3 images"),
        (lambda c: c["annotations"][0].update(bbox=[0, 0, 1, 1]), "of a detection data set"),
        (lambda c: c.pop("categories"), "has no list categories"),
        (lambda c: c["categories"].extend({"id": 10 + i, "name": ""} for i in range(8139)), "as iNaturalist 2018"),
    ],
)
def test_json_of_another_data_set_is_refused(inat: Path, change, message: str) -> None:  # type: ignore[no-untyped-def]
    content = json.loads((inat / "train2019.json").read_text())
    change(content)
    write_json(inat / "train2019.json", content)
    assert message in problems("inat19", inat)
    with pytest.raises(UserError, match=message):
        READERS["inat19"]().read(inat, "train")


def test_torn_json_is_named(inat: Path) -> None:
    text = (inat / "val2019.json").read_text()
    (inat / "val2019.json").write_text(text[: len(text) // 2])
    lines = problems("inat19", inat, Size(3, 3, 3))
    assert lines.count("\n") == 0
    assert "val2019.json is not valid JSON" in lines


def test_places_lists_with_leading_slashes(places: Path) -> None:
    train, val = READERS["places365"]().read_both(places)
    assert train.classes == ("/a/airfield", "/a/apartment_building/outdoor")
    assert train.labels.tolist() == [0, 1, 0]
    assert val.labels.tolist() == [1, 0]
    assert not train.missing()
    assert not val.missing()
    assert not problems("places365", places, Size(2, 3, 2))


def test_places_problems_are_named(places: Path) -> None:
    (places / "val_256" / "Places365_val_00000002.jpg").unlink()
    (places / "places365_train_standard.txt").write_text("/a/airfield/00000001.jpg\n")
    lines = problems("places365", places, Size(2, 3, 2))
    assert "(val): 1 files (val_256/Places365_val_00000002.jpg) missing" in lines
    assert "places365_train_standard.txt line 1 is not 'path label'" in lines


def test_places_list_of_other_categories_is_refused(places: Path) -> None:
    (places / "places365_val.txt").write_text("Places365_val_00000001.jpg 364\n")
    with pytest.raises(UserError, match="names classes that categories_places365"):
        READERS["places365"]().read(places, "val")


def test_places_without_images_names_both_spellings(places: Path) -> None:
    for name in ("data_256", "data_256_standard"):
        shutil.rmtree(places / name, ignore_errors=True)
    assert "no folder data_256_standard or data_256" in problems("places365", places)


@pytest.mark.parametrize("below", ["", "places365_standard"])
def test_places_small_easyformat(imagenet: Path, tmp_path: Path, below: str) -> None:
    root = tmp_path / "easy"
    shutil.copytree(imagenet, root / below)
    (root / below / "train.txt").write_text("train/n01440764/train_1.JPEG\n")
    train, _ = READERS["places365"]().read_both(root)
    assert train.classes == ("n01440764", "n01443537")
    assert not train.missing()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{}", " lacks classes, train, val"),
        ('{"classes": 2, "train": 3, "val": "3"}', ": val is '3'"),
    ],
)
def test_torn_counts_of_demo_data_are_named(imagenet: Path, content: str, said: str) -> None:
    (imagenet / "demo.json").write_text(content)
    assert f"{imagenet / 'demo.json'}{said}" in problems("imagenet", imagenet)


@pytest.mark.parametrize("content", [{"categories": [1]}, {"images": [{"id": i} for i in range(3)]}])
def test_json_without_fields_is_named(inat: Path, content: dict[str, object]) -> None:
    whole = json.loads((inat / "train2019.json").read_text())
    write_json(inat / "train2019.json", {**whole, **content})
    assert re.search("download it again|no iNat|not an iNat", problems("inat19", inat, Size(3, 3, 3)))


def test_a_reader_of_no_known_name_is_refused() -> None:
    with pytest.raises(UserError, match=r"no reader 'cifar' of labelled images; .* imagenet, inat17, .* own"):
        reader_of({"reader": "cifar"})
