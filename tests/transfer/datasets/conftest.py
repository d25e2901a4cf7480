"""Small trees in the data sets' exact layouts."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.labelled_images import save_image, write_json

Tree = Callable[[Path], Path]


@pytest.fixture
def imagenet(tmp_path: Path) -> Path:
    """Two classes; modes and names as real ImageNet has them: gray, CMYK, capital suffixes, beyond ASCII."""
    root = tmp_path / "imagenet"
    for split in ("train", "val"):
        save_image(root / split / "n01440764" / f"{split}_1.JPEG")
        save_image(root / split / "n01440764" / "größe.JPEG", mode="L")
        save_image(root / split / "n01443537" / f"{split}_2.jpg", mode="CMYK")
        (root / split / "n01443537" / "._ghost.JPEG").write_bytes(b"archive leftovers")
    return root


@pytest.fixture
def inat(tmp_path: Path) -> Path:
    """Three categories with gaps in their numbers, as competition files may have."""
    root = tmp_path / "inat19"
    for split, offset in (("train", 0), ("val", 100)):
        images = [
            {"id": offset + i, "file_name": f"train_val2019/Plants/{c}/{split}{i}.jpg", "width": 20, "height": 20}
            for i, c in enumerate((0, 5, 9))
        ]
        for image in images:
            save_image(root / str(image["file_name"]))
        annotations = [
            {"id": 7 * i, "image_id": offset + i, "category_id": c} for i, c in reversed(list(enumerate((0, 5, 9))))
        ]
        categories = [{"id": c, "name": f"Blüte {c}", "supercategory": "Plants"} for c in (9, 0, 5)]
        write_json(
            root / f"{split}2019.json",
            {"info": {}, "licenses": [], "images": images, "annotations": annotations, "categories": categories},
        )
    return root


@pytest.fixture(params=["data_256", "data_256_standard"])
def places(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Two classes in the standard lists, with the training folder in either spelling."""
    root = tmp_path / "places365"
    root.mkdir()
    (root / "categories_places365.txt").write_text("/a/airfield 0\n/a/apartment_building/outdoor 1\n")
    (root / "places365_train_standard.txt").write_text(
        "/a/airfield/00000001.jpg 0\n/a/apartment_building/outdoor/00000001.jpg 1\n/a/airfield/00000002.jpg 0\n"
    )
    (root / "places365_val.txt").write_text("Places365_val_00000001.jpg 1\nPlaces365_val_00000002.jpg 0\n")
    for name in ("a/airfield/00000001", "a/airfield/00000002", "a/apartment_building/outdoor/00000001"):
        save_image(root / request.param / f"{name}.jpg")
    for number in (1, 2):
        save_image(root / "val_256" / f"Places365_val_0000000{number}.jpg")
    return root
