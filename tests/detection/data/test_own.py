"""Data of one's own in COCO's format: recognised, tidied for detectron2, and one line for each thing that is wrong."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from crossmae.data.images import digest_of_bytes
from crossmae.recipe import load_recipe
from detection.data.check import check_coco
from detection.data.own import fingerprint_of_own, read_own, tidy
from detection.data.own_check import check_own, describe_own
from detection.recipe import RECIPES, fit_to_data

Content = dict[str, Any]
OUTLINE = [[10, 10, 30, 10, 30, 25, 10, 25]]


def content(names: list[str], masks: bool) -> Content:
    images = [{"id": 7 + i, "file_name": name, "width": 60, "height": 40} for i, name in enumerate(names)]
    things: list[Content] = [
        {"id": 3 * i, "image_id": 7 + i, "category_id": 5 + 4 * (i % 2), "bbox": [10, 10, 20, 15]}
        for i in range(len(names))
    ]
    for thing in things if masks else ():
        thing["segmentation"] = OUTLINE
    return {
        "images": images,
        "annotations": things,
        "categories": [{"id": 9, "name": "nut"}, {"id": 5, "name": "bolt"}],
    }


def write(root: Path, file: str, folder: str, names: list[str], masks: bool = False) -> Path:
    for name in names:
        path = root / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (60, 40)).save(path)
    (root / file).parent.mkdir(parents=True, exist_ok=True)
    (root / file).write_text(json.dumps(content(names, masks)))
    return root


def both(root: Path, masks: bool = False) -> Path:
    write(root, "annotations/instances_train.json", "images", [f"a {i} ü.jpg" for i in range(4)], masks)
    return write(root, "annotations/instances_val.json", "images", ["b/0.png", "b/1.png"], masks)


def problems(root: Path, **options: str) -> list[str]:
    return [str(problem) for problem in check_own(root, options)]


@pytest.mark.parametrize("masks", [False, True])
def test_what_is_tidied_is_what_coco_looks_like(tmp_path: Path, masks: bool) -> None:
    root = both(tmp_path / "data", masks)
    assert not problems(root)
    data = read_own(root, {})
    assert (data.given, data.masks) == (True, "polygon" if masks else None)
    folder = tidy(data, tmp_path / "run" / "data")
    assert tidy(data, folder) == folder
    assert masks == (not [*check_coco(folder)])
    (line,) = describe_own(root, {})
    assert line.endswith(f"2 categories, 4 train images and 2 val images, 6 boxes {'and masks' if masks else 'alone'}")


@pytest.mark.parametrize(
    ("train", "val", "images"),
    [
        ("train.json", "valid.json", "{split}"),
        ("{split}/_annotations.coco.json", "", "{split}"),
        ("{split}.json", "", "."),
    ],
)
def test_usual_places_are_found(tmp_path: Path, train: str, val: str, images: str) -> None:
    for split, file in (("train", train), ("valid", val or train)):
        names = [f"{split}_{i}.png" for i in range(2)]
        write(tmp_path, file.format(split=split), images.format(split=split), names)
    data = read_own(tmp_path, {})
    assert data.given
    assert data.val.content["images"][0]["file_name"] == "valid_0.png"
    assert not problems(tmp_path)


def test_without_validation_a_fifth_is_held_out_and_stays_the_same(tmp_path: Path) -> None:
    names = [f"{i}.png" for i in range(10)]
    root = write(tmp_path / "here", "labels.json", "pictures", names)
    data = read_own(root, {})
    held = {image["file_name"] for image in data.val.content["images"]}
    assert (len(held), len(data.train.content["images"]), data.given) == (2, 8, False)
    shuffled = write(tmp_path / "there", "labels.json", "pictures", names[::-1])
    assert {image["file_name"] for image in read_own(shuffled, {}).val.content["images"]} == held
    assert not problems(root)
    before = fingerprint_of_own(root, {}, digest_of_bytes)
    assert before == fingerprint_of_own(root, {}, digest_of_bytes)
    assert before != fingerprint_of_own(shuffled, {}, digest_of_bytes)


@pytest.mark.parametrize("given", [True, False])
def test_values_are_tuned_on_training_images_alone(tmp_path: Path, given: bool) -> None:
    """Other validation annotations, even such as are no such file, change nothing."""
    names = [f"a{i}.png" for i in range(10)]
    write(tmp_path, "annotations/instances_train.json", "images", names, masks=True)
    if given:
        write(tmp_path, "annotations/instances_val.json", "images", ["b0.png", "b1.png"], masks=True)
    whole = {image["file_name"] for image in read_own(tmp_path, {}).train.content["images"]}
    tuned = read_own(tmp_path, {"tuning": "yes"})
    fitted, held = ({image["file_name"] for image in part.content["images"]} for part in (tuned.train, tuned.val))
    assert fitted | held == whole
    assert not fitted & held
    assert len(held) == 2
    if given:
        before = fingerprint_of_own(tmp_path, {"tuning": "yes"}, digest_of_bytes)
        write(tmp_path, "annotations/instances_val.json", "images", ["b0.png"], masks=False)
        assert fingerprint_of_own(tmp_path, {"tuning": "yes"}, digest_of_bytes) == before
        assert read_own(tmp_path, {"tuning": "yes"}).masks == "polygon"


def test_what_is_called_test_is_no_validation_set_unless_a_task_names_it(tmp_path: Path) -> None:
    for split in ("train", "test"):
        write(tmp_path, f"annotations/instances_{split}.json", split, [f"{split} {i}.png" for i in range(5)])
    data = read_own(tmp_path, {})
    assert [image["file_name"][:5] for image in data.val.content["images"]] == ["train"]
    file = "annotations/instances_test.json"
    said, *_ = describe_own(tmp_path, {})
    assert said.endswith(f"{file} is left alone, a part of train is held out; val: {file} would be taken instead")
    assert read_own(tmp_path, {"val": file}).val.content["images"][0]["file_name"] == "test 0.png"
    assert not any("left alone" in line for line in describe_own(tmp_path, {"val": file}))
    (tmp_path / "annotations" / "instances_train.json").unlink()
    (line,) = problems(tmp_path)
    assert "holds no file of training annotations, only annotations/instances_test.json" in line


def test_run_length_masks_and_boxes_alone_by_choice(tmp_path: Path) -> None:
    root = both(tmp_path, masks=True)
    edit(root, lambda c: c["annotations"][0].update(segmentation={"counts": "abc", "size": [40, 60]}))
    assert read_own(root, {}).masks == "bitmask"
    edit(root, lambda c: c["annotations"][0].pop("segmentation"))
    assert "have no mask and the others have" in problems(root)[0]
    assert not problems(root, masks="no")


def test_the_schedule_follows_the_data() -> None:
    recipe = load_recipe(RECIPES, "coco_format_vitdet_vit_b16")
    small, large = (fit_to_data(recipe, 3, images).protocol for images in (100, 10_000))
    assert (small["classes"], small["steps"], large["steps"]) == (3, 5_000, 31_250)
    assert large["milestones"] == [round(31_250 * step / 184_375) for step in (163_889, 177_546)]


def edit(root: Path, change: Callable[[Content], object]) -> None:
    path = root / "annotations" / "instances_train.json"
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


BROKEN: dict[str, tuple[Callable[[Content], object], str]] = {
    "image ids twice": (
        lambda c: [c["images"][1].update(id=7), c["annotations"][1].update(image_id=7)],
        "image ids 1 (7) are used twice; give each its own",
    ),
    "annotation ids twice": (lambda c: c["annotations"][1].update(id=0), "annotation ids 1 (0) are used twice"),
    "file twice": (lambda c: c["images"][1].update(file_name="a 0 ü.jpg"), "file names 1 (a 0 ü.jpg) are used twice"),
    "one name for two": (lambda c: c["categories"][0].update(name="bolt"), "category names 1 (bolt) are used twice"),
    "box outside": (
        lambda c: c["annotations"][0].update(bbox=[50, 10, 20, 15]),
        "1 (0) have a box outside their image",
    ),
    "box without area": (lambda c: c["annotations"][2].update(bbox=[5, 5, 0, 9]), "1 (6) have a box without area"),
    "box of three": (lambda c: c["annotations"][2].update(bbox=[5, 5, 9]), "boxes that are not four numbers"),
    "no such image": (lambda c: c["annotations"][0].update(image_id=99), "1 (0) name images that it does not list"),
    "no such category": (lambda c: c["annotations"][0].update(category_id=1), "1 (0) have an unknown category"),
    "nothing annotated": (lambda c: c["annotations"].clear(), "has no annotations; an AP needs objects"),
    "no images": (lambda c: c["images"].clear(), "lists no image"),
    "missing file": (
        lambda c: c["images"][3].update(file_name="gone.jpg"),
        "lacks 1 (gone.jpg) of the annotated images",
    ),
    "out of the folder": (
        lambda c: c["images"][0].update(file_name="../../x.jpg"),
        "'../../x.jpg' lies outside the data",
    ),
    "another size": (lambda c: c["images"][0].update(width=61), "1 (a 0 ü.jpg) images have another size"),
    "captions": (lambda c: [t.pop("bbox") for t in c["annotations"]], "has annotations without box or category"),
    "a list": (lambda c: c.update(images={}), "that are no lists of mappings"),
    "other categories": (lambda c: c["categories"].append({"id": 11, "name": "gear"}), "has other categories than"),
    "mask of a line": (lambda c: c["annotations"][0].update(segmentation=[[1, 1, 2, 2]]), "no polygon of three points"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_annotations_are_one_line(name: str, tmp_path: Path) -> None:
    root = both(tmp_path, masks=name == "mask of a line")
    change, expected = BROKEN[name]
    edit(root, change)
    (line,) = problems(root)
    assert expected in line
    assert "; " in line


@pytest.mark.parametrize("split", ["_train", ""])
def test_other_json_files_are_no_annotations(tmp_path: Path, split: str) -> None:
    write(tmp_path, f"annotations/instances{split}.json", "a", [f"{i}.png" for i in range(5)])
    (tmp_path / f"a_config{split}.json").write_text('{"lr": [1]}')
    assert not problems(tmp_path)
    assert read_own(tmp_path, {}).train.file.name == f"instances{split}.json"


def test_files_that_are_none_are_one_line(tmp_path: Path) -> None:
    (line,) = problems(tmp_path)
    assert "holds no JSON file; call it train.json" in line
    root = both(tmp_path)
    (root / "annotations" / "instances_train.json").write_text('{"images": [')
    (line,) = problems(root)
    assert "instances_train.json is not valid JSON" in line
    (line,) = problems(both(tmp_path), train="other.json")
    assert "other.json does not exist" in line
    (root / "images" / "a 1 ü.jpg").write_bytes(b"torn")
    (line,) = problems(root)
    assert "1 (a 1 ü.jpg) images cannot be read; copy them again" in line
