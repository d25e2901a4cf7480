"""The demo's files are COCO's format: pycocotools finds in them what was drawn."""

import json
from pathlib import Path

import numpy as np
from PIL import Image
from pycocotools.coco import COCO

from crossmae.data.demo.scenes import SceneSource
from detection.data.demo import LABELS, mask_polygons, write_demo


def test_masks_boxes_and_crowds_survive_the_file(coco: Path) -> None:
    api = COCO(str(coco / "annotations" / "instances_train2017.json"))
    drawn = list(SceneSource().draw("coco", "train", 48, classes=LABELS, crowds=0.4))
    kinds = set()
    for image_id, scene in enumerate(drawn, start=1):
        image = api.loadImgs(image_id)[0]
        pixels = np.asarray(Image.open(coco / "train2017" / image["file_name"]))
        np.testing.assert_array_equal(pixels, scene.image)
        annotations = api.loadAnns(api.getAnnIds(image_id))
        assert len(annotations) == len(scene.objects)
        for annotation, thing in zip(annotations, scene.objects, strict=True):
            kinds.add((annotation["iscrowd"], type(annotation["segmentation"])))
            np.testing.assert_array_equal(api.annToMask(annotation).astype(bool), thing.mask)
            x0, y0, x1, y1 = thing.box
            assert annotation["bbox"] == [x0, y0, x1 - x0, y1 - y0]
            assert annotation["area"] == thing.mask.sum()
            assert annotation["category_id"] == thing.label + 1
    assert kinds == {(0, list), (1, dict)}


def test_polygons_give_the_mask_again_holes_too() -> None:
    mask = np.zeros((20, 30), dtype=bool)
    mask[2:9, 3:11] = True
    mask[9:14, 7:20] = True
    mask[16:18, 25:30] = True
    mask[4:6, 5:8] = False
    mask[11, 15] = False
    polygons = mask_polygons(mask)
    assert len(polygons) == 4
    api = COCO()
    api.imgs = {1: {"height": 20, "width": 30}}
    rebuilt = api.annToMask({"image_id": 1, "segmentation": polygons})
    np.testing.assert_array_equal(rebuilt.astype(bool), mask)


def test_the_same_seed_writes_the_same_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_demo(tmp_path / name, SceneSource(), {"train": 3, "val": 2})
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*.*"))
    assert len(files) == 8
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_category_ids_have_gaps_as_cocos_do(coco: Path) -> None:
    content = json.loads((coco / "annotations" / "instances_val2017.json").read_text())
    ids = [category["id"] for category in content["categories"]]
    assert ids != list(range(1, len(ids) + 1))
