"""A staged data set is read where the data set itself would be."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from crossmae.backbone import Backbone
from crossmae.data.keyed import SampleKey
from crossmae.data.open import entries, is_folder, open_images
from crossmae.data.staging.forms import Form
from crossmae.data.staging.stage import Staging
from crossmae.recipe import Recipe
from tests.support.labelled_images import save_image, task
from transfer.classification.images import EvaluationImages, TrainImages
from transfer.classification.transforms import evaluation_transform
from transfer.datasets.layouts import READERS
from transfer.datasets.own import OwnImages
from transfer.datasets.reader import Size
from transfer.harness.plan.data_roots import recognise
from transfer.task import Context


def staged(root: Path, form: str = "jpeg", short_side: int = 400) -> Path:
    folder = root.parent / f"{root.name}-staged"
    Staging(root, folder, Form(form, short_side), processes=0).run()  # type: ignore[arg-type]
    return folder


@pytest.fixture
def easyformat(tmp_path: Path) -> Path:
    """Places365's second layout, one folder further down."""
    root = tmp_path / "places365"
    for split in ("train", "val"):
        for name in ("airfield", "alcove"):
            save_image(root / "places365_standard" / split / name / "1.jpg")
    return root


@pytest.mark.parametrize(
    ("reader", "fixture", "size"),
    [
        ("imagenet", "imagenet", Size(2, 3, 3)),
        ("inat19", "inat", Size(3, 3, 3)),
        ("places365", "easyformat", Size(2, 2, 2)),
    ],
)
def test_every_reader_finds_the_same_images(
    reader: str, fixture: str, size: Size, request: pytest.FixtureRequest
) -> None:
    assert_same(reader, request.getfixturevalue(fixture), size)


def test_the_standard_lists_of_places_come_along(places: Path) -> None:
    assert_same("places365", places, Size(2, 3, 2))


def assert_same(reader: str, root: Path, size: Size) -> None:
    size.write(root)
    transform = evaluation_transform(16, 1.0)
    for before, after in zip(READERS[reader]().read_both(root), READERS[reader]().read_both(staged(root)), strict=True):
        assert after.files == before.files
        assert after.fingerprint == before.fingerprint
        for mine, its in zip(*(EvaluationImages(i, transform, 0, 1, False) for i in (before, after)), strict=True):
            assert np.array_equal(mine[0], its[0])
            assert mine[1:] == its[1:]
    assert not list(task(reader).check(root.parent / f"{root.name}-staged"))


@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
def test_lists_of_ones_own_come_along(imagenet: Path, suffix: str) -> None:
    rows = [
        (f"{split}/n0144{c}/{name}", c)
        for split in ("train", "val")
        for c, name in (("0764", f"{split}_1.JPEG"), ("0764", "größe.JPEG"), ("3537", f"{split}_2.jpg"))
    ]
    table = pd.DataFrame(rows, columns=["file", "label"])
    path = imagenet / f"labels{suffix}"
    table.to_csv(path, sep="\t" if suffix == ".tsv" else ",", index=False)
    before = OwnImages({"layout": "list"}).read_both(imagenet)
    cache = staged(imagenet)
    for place in (cache, cache / path.name):
        after = OwnImages({"layout": "list"}).read_both(place)
        assert [images.fingerprint for images in after] == [images.fingerprint for images in before]
        assert not list(OwnImages({"layout": "list"}).check(place))
        assert after[0].images.read(0)
    assert recognise(cache) in ("imagefolder", "list")
    assert recognise(cache / path.name) == "list"


def test_lists_in_folders_of_the_data_set_come_along(tmp_path: Path) -> None:
    root = tmp_path / "birds"
    for number in range(6):
        save_image(root / "photos" / f"{number} ü.png", side=20 + number)
    below = root / "photos" / "lists"
    below.mkdir()
    rows = [(f"photos/{number} ü.png", "wolf" if number % 2 else "fox") for number in range(6)]
    pd.DataFrame(rows, columns=["file", "label"]).to_csv(below / "Mine.CSV", index=False)
    (root / "meta").mkdir()
    pd.DataFrame(rows, columns=["file", "label"]).to_csv(root / "meta" / "all.tsv", sep="\t", index=False)
    (root / "photos" / "0.txt").write_text("a text file for each image stays behind")
    cache = staged(root)
    assert not (cache / "photos" / "0.txt").exists()
    for options in ({"train": "photos/lists/Mine.CSV"}, {"train": "meta/all.tsv"}):
        before, after = (OwnImages(options).read_both(place) for place in (root, cache))
        assert [images.fingerprint for images in after] == [images.fingerprint for images in before]
        assert OwnImages(options).fingerprint(cache) == OwnImages(options).fingerprint(root)
        assert not list(OwnImages(options).check(cache))
    for place in ("", "photos", "photos/lists", "meta", "nowhere"):
        there = [sorted(set(names) - {"0.txt"}) for names in entries(root / place)]
        assert [sorted(names) for names in entries(cache / place)] == there
    assert is_folder(cache / "meta")
    assert recognise(cache / "photos" / "lists" / "Mine.CSV") == "list"


def test_places_205_comes_along(tmp_path: Path) -> None:
    root = tmp_path / "places205"
    lists = root / "trainvalsplit_places205"
    lists.mkdir(parents=True)
    for split in ("train", "val"):
        names = [f"a/{name}/{split}.jpg" for name in ("abbey", "alley")]
        (lists / f"{split}_places205.csv").write_text("".join(f"{name} {i}\n" for i, name in enumerate(names)))
        for name in names:
            save_image(root / "data/vision/torralba/deeplearning/images256" / name)
    assert_same("places205", root, Size(2, 2, 2))


def test_a_folder_within_a_cache_is_a_data_set(tmp_path: Path) -> None:
    root = tmp_path / "all"
    for name in ("cat", "dog"):
        for number in range(3):
            save_image(root / "pets" / name / f"{number}.png")
    cache = staged(root)
    assert recognise(cache / "pets") == recognise(root / "pets") == "imagefolder"
    before, after = (OwnImages().read_both(place / "pets") for place in (root, cache))
    assert [images.files for images in after] == [images.files for images in before]
    assert not list(OwnImages().check(cache / "pets"))


def test_other_pixels_under_the_same_names_are_another_data_set(tmp_path: Path) -> None:
    roots = [tmp_path / name for name in ("first", "second")]
    for root in roots:
        for name in ("cat", "dog"):
            for number in range(3):
                save_image(root / name / f"{number}.png")
    caches = [staged(root, "raw") for root in roots]
    first, second = (OwnImages().fingerprint(cache) for cache in caches)
    assert first != second
    shutil.copytree(caches[0], tmp_path / "elsewhere")
    assert OwnImages().fingerprint(tmp_path / "elsewhere") == first


def test_problems_of_a_staged_data_set_are_named(imagenet: Path) -> None:
    (imagenet / "val" / "n01440764" / "val_1.JPEG").write_bytes(b"torn")
    (imagenet / "train" / "n01443537" / "train_2.jpg").unlink()
    Size(2, 2, 3).write(imagenet)
    found = "\n".join(map(str, task("imagenet").check(staged(imagenet))))
    assert "(val): 1 images (val/n01440764/val_1.JPEG) cannot be read" in found
    assert "different classes (n01443537)" in found


def test_shrunk_images_are_another_data_set(imagenet: Path) -> None:
    folder = staged(imagenet, "raw", short_side=10)
    before, after = (READERS["imagenet"]().read(root, "train") for root in (imagenet, folder))
    assert after.fingerprint != before.fingerprint
    assert "shrunk" in after.images.deviations[0]
    image, label = TrainImages(after, evaluation_transform(16, 1.0), seed=0, keep=False)[SampleKey(0, 2)]
    assert image.shape == (3, 16, 16)
    assert label == 1


def test_a_run_on_shrunk_images_is_marked(imagenet: Path, tmp_path: Path) -> None:
    values = {"method": "linear", "image_size": 64, "steps": 1, "global_batch": 2, "base_lr": 1.0, "crop_pct": 1.0}
    recipe = Recipe("a_recipe", "a test", (), values, {"per_device_batch": 2, "device": "cpu"})
    context = Context(folder=tmp_path, data_root=staged(imagenet, "raw", short_side=10), seed=0)
    task("imagenet").run(Backbone.load("random:vit_demo"), recipe, context)
    assert context.deviations[:2] == [
        "fp32 in place of mixed precision",
        "images turned upright and shrunk to a shorter side of 10, so that small crops of them are enlarged",
    ]


def test_pretraining_takes_the_training_images_of_the_same_cache(imagenet: Path) -> None:
    names = [open_images(root).relative(2) for root in (imagenet, staged(imagenet))]
    assert names == ["n01443537/train_2.jpg"] * 2
