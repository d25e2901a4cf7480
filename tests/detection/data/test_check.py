"""Every problem of a COCO folder is named in one line, with what to do."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from detectron2.config import instantiate
from PIL import Image

from crossmae.errors import UserError
from crossmae.recipe import load_recipe
from detection.build.loader import loader_config
from detection.data.check import check_coco
from detection.data.register import read_dicts, register
from detection.recipe import RECIPES, read_recipe
from detection.run import CocoData


@pytest.fixture
def broken(coco: Path, tmp_path: Path) -> Path:
    """A copy to break."""
    return Path(shutil.copytree(coco, tmp_path / "coco-ü"))


def change(folder: Path, edit: Callable[[dict[str, Any]], Any], split: str = "val") -> Path:
    path = folder / "annotations" / f"instances_{split}2017.json"
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))
    return path


def problems(folder: Path) -> list[str]:
    lines = [str(problem) for problem in check_coco(folder)]
    assert all("\n" not in line for line in lines)
    return lines


def test_the_demo_has_no_problem(coco: Path) -> None:
    assert problems(coco) == []


def test_missing_everything(tmp_path: Path) -> None:
    (only,) = problems(tmp_path / "nowhere")
    assert "nowhere is missing" in only
    (tmp_path / "empty").mkdir()
    assert len(problems(tmp_path / "empty")) == 4


def test_several_problems_at_once(broken: Path) -> None:
    (broken / "train2017" / "000000000007.png").unlink()
    path = broken / "annotations" / "instances_val2017.json"
    path.write_text(path.read_text()[:2000])
    missing, truncated = problems(broken)
    assert "lacks 1 (000000000007.png) of the annotated images" in missing
    assert "instances_val2017.json is not valid JSON" in truncated


def test_a_truncated_file_stops_a_run_in_one_line(broken: Path) -> None:
    path = broken / "annotations" / "instances_train2017.json"
    path.write_text(path.read_text()[:2000])
    with pytest.raises(UserError, match=r"instances_train2017\.json is not valid JSON") as error:
        read_dicts(broken, "train", 4)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (lambda c: c["annotations"][0].update(image_id=999), "1 (1) annotations name images that it does not list"),
        (lambda c: c["annotations"][1].update(category_id=77), "1 (2) annotations have an unknown category"),
        (lambda c: c["annotations"][2].update(bbox=[3.0, 3.0, 0.0, 5.0]), "1 (3) boxes have no area"),
        (lambda c: c["annotations"][3].update(id=1), "annotation ids 1 (1) are used twice"),
        (lambda c: [thing.pop("bbox") for thing in c["annotations"]], "file of another data set or task"),
        (lambda c: c.pop("categories"), "not COCO instance annotations"),
        (lambda c: [image.pop("height") for image in c["images"]], "images without file name and size"),
        (lambda c: c["annotations"][0].update(segmentation=[]), "has boxes without masks: 1 (1) of "),
        (lambda c: c.update(annotations=[]), "has no annotations"),
        (lambda c: c.update(annotations={}), "no lists of mappings"),
        (lambda c: c.update(images=[3]), "no lists of mappings"),
        (lambda c: c["annotations"][0].update(bbox=None), "boxes that are not four numbers"),
    ],
    ids=[
        *("image", "category", "area", "id", "iNaturalist", "no categories", "no sizes"),
        *("no mask", "no annotations", "a mapping", "numbers", "no box"),
    ],
)
def test_faulty_annotations(broken: Path, edit: Callable[[dict[str, Any]], Any], says: str) -> None:
    change(broken, edit)
    (only,) = problems(broken)
    assert says in only
    assert "instances_val2017.json" in only


@pytest.mark.parametrize("split", ["train", "val"])
def test_boxes_without_masks_stop_a_run_in_one_line(broken: Path, split: str) -> None:
    change(broken, lambda c: [thing.update(segmentation=[]) for thing in c["annotations"]], split)
    with pytest.raises(UserError, match=f"instances_{split}2017.json has boxes without masks; ViTDet learns") as error:
        read_dicts(broken, split, 4)
    assert "\n" not in str(error.value)


def test_images_may_lie_in_folders_of_their_own(broken: Path) -> None:
    folder = broken / "val2017"
    (folder / "rome").mkdir()
    (folder / "000000000002.png").rename(folder / "rome" / "2.png")
    change(
        broken, lambda c: [c["images"][1].update(file_name="rome/2.png"), c["images"][2].update(file_name="a/3.png")]
    )
    (only,) = problems(broken)
    assert "lacks 1 (a/3.png) of the annotated images" in only


def test_empty_files_and_resized_pictures_are_named(broken: Path) -> None:
    (broken / "val2017" / "000000000002.png").write_bytes(b"")
    Image.new("RGB", (32, 48)).save(broken / "val2017" / "000000000003.png")
    unreadable, resized = problems(broken)
    assert "1 (000000000002.png) images cannot be read" in unreadable
    assert "1 (000000000003.png) images have another size than their annotations say" in resized


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_grayscale_and_cmyk_images_under_unicode_names_are_read(broken: Path, mode: str) -> None:
    """As detectron2 reads them for training and for the test: three channels, the same gray."""
    for split in ("train", "val"):
        change(broken, lambda c: c["images"][0].update(file_name="Zürich_東京.jpg"), split)
        picture = Image.new("RGB", (64, 64), (120, 120, 120)).convert(mode)
        picture.save(broken / f"{split}2017" / "Zürich_東京.jpg", quality=95)
    assert problems(broken) == []
    protocol = read_recipe(load_recipe(RECIPES, "coco_vitdet_demo")).protocol
    loaders = loader_config(protocol, (register(broken, "train"), register(broken, "val")), workers=0)
    for split, loader in (("train", loaders.train), ("val", loaders.test)):
        (image,) = [image for image in read_dicts(broken, split, 4) if image["file_name"].endswith("東京.jpg")]
        pixels = instantiate(loader.mapper)(image)["image"]
        assert pixels.shape[0] == 3
        gray = pixels[:, pixels.amin(0) > 0].float()
        assert (gray - 120).abs().max() <= 8


def test_counts_that_are_not_cocos_are_deviations_and_stop_nothing(coco: Path) -> None:
    train, val = (read_dicts(coco, split, 4) for split in ("train", "val"))
    data = CocoData(None, train, val, ("bbox", "segm"))
    assert [*data.departures()][1] == "9 validation images (COCO 2017: 5,000)"


def test_a_file_of_another_data_set_stops_a_run(broken: Path) -> None:
    change(broken, lambda c: c["categories"].append({"id": 90, "name": "toothbrush"}))
    with pytest.raises(UserError, match="has 5 categories, the recipe 4"):
        read_dicts(broken, "val", 4)


def test_images_without_objects_and_flat_boxes_do_not_stop_training(broken: Path) -> None:
    def edit(content: dict[str, Any]) -> None:
        content["annotations"] = [thing for thing in content["annotations"] if thing["image_id"] != 3]
        content["annotations"][0].update(bbox=[3.0, 3.0, 0.0, 5.0])

    change(broken, edit, "train")
    change(broken, edit, "val")
    assert len(read_dicts(broken, "val", 4)) == 9
    assert 3 not in {image["image_id"] for image in read_dicts(broken, "train", 4)}
