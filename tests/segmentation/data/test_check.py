"""ADE20K on disk: the demo's is in the real format, and what is wrong with a folder is said before training."""

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mmengine.registry import DATASETS, init_default_scope
from PIL import Image

from crossmae.backbone import Backbone
from crossmae.data.demo.scenes import SceneSource
from crossmae.errors import UserError
from crossmae.recipe import Recipe
from segmentation.build.prepare import configure
from segmentation.data import check, demo
from segmentation.data.layout import class_names
from segmentation.recipe import read_recipe
from transfer.task import Context, Problem


@pytest.fixture
def root(data_root: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(data_root, tmp_path / "ade20k"))


def found(root: Path) -> list[str]:
    problems = list(check.problems(root))
    assert all(isinstance(problem, Problem) and problem.remedy for problem in problems)
    return [problem.what for problem in problems]


def image_of(root: Path, number: int = 1) -> Path:
    return root / f"images/training/ADE_train_{number:08d}.png"


def annotation_of(root: Path, number: int = 1) -> Path:
    return root / f"annotations/training/ADE_train_{number:08d}.png"


def test_demo_data_is_in_order(root: Path) -> None:
    assert found(root) == []
    assert class_names(root) == ("background", "trouser", "dress", "sneaker", "bag")


def test_demo_annotations_follow_the_scenes(root: Path) -> None:
    scenes = SceneSource(0).draw("ade20k", "val", 5, classes=demo.GARMENTS, objects=(1, 3), scale=(0.4, 0.7))
    for number, scene in enumerate(scenes, start=1):
        name = f"validation/ADE_val_{number:08d}.png"
        labels = np.asarray(Image.open(root / "annotations" / name))
        assert (np.asarray(Image.open(root / "images" / name)) == scene.image).all()
        assert set(np.unique(labels)) == {1, *(2 + demo.GARMENTS.index(item.label) for item in scene.objects)}
        for item in scene.objects:
            assert (labels[item.mask] == 2 + demo.GARMENTS.index(item.label)).all()


def test_half_written_demo_data_is_never_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(demo, "_class_table", fail)
    with pytest.raises(OSError, match="disk full"):
        demo.write(tmp_path / "ade20k", SceneSource(0), {"training": 1, "validation": 1})
    assert list(tmp_path.iterdir()) == []


def test_an_image_without_annotation_is_named(root: Path) -> None:
    annotation_of(root, 3).unlink()
    assert found(root) == ["images/training: no annotation for ADE_train_00000003"]


def test_an_annotation_without_image_is_named(root: Path) -> None:
    image_of(root, 4).unlink()
    assert found(root) == ["annotations/training: no image for ADE_train_00000004"]


def test_a_folder_that_mmsegmentation_would_search_too_is_named_and_refused(root: Path) -> None:
    deep = root / "annotations" / "training" / "more"
    deep.mkdir()
    os.mkfifo(deep / "ADE_train_00000099.png")
    said = f"{deep} is a folder among the images, of which ADE20K has none"
    assert found(root) == [said]
    with pytest.raises(UserError, match="is a folder among the images"):
        check.require_readable(root, classes=5)


def test_many_missing_annotations_are_one_problem(root: Path) -> None:
    for number in range(1, 8):
        annotation_of(root, number).unlink()
    assert len(found(root)) == 1
    assert found(root)[0].endswith("ADE_train_00000001, ADE_train_00000002, ADE_train_00000003 and 4 more")


def test_a_label_beyond_the_classes_is_named(root: Path) -> None:
    Image.fromarray(np.full((64, 64), 9, np.uint8)).save(annotation_of(root))
    assert found(root) == [f"{annotation_of(root)} has label 9, but there are 5 classes"]


def test_ignored_labels_are_no_problem(root: Path) -> None:
    labels = np.ones((64, 64), np.uint8)
    labels[:10], labels[10:20] = 0, 255
    Image.fromarray(labels).save(annotation_of(root))
    assert found(root) == []


def test_counts_that_are_not_ade20ks_are_deviations_and_stop_nothing(root: Path) -> None:
    assert [*check.departures(root)] == []
    (root / "demo.json").unlink()
    assert found(root) == []
    assert [*check.departures(root)] == ["12 training images (ADE20K: 20,210)", "5 validation images (ADE20K: 2,000)"]


def test_images_that_mmsegmentation_would_not_list_are_named(
    root: Path, backbone: Backbone, small_recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    for number in range(1, 4):
        image_of(root, number).rename(image_of(root, number).with_suffix(".jpg"))
    what = (
        "images/training: with 5 classes images are .png files, "
        "ADE_train_00000001, ADE_train_00000002, ADE_train_00000003 are not"
    )
    assert found(root) == [what]
    with pytest.raises(UserError, match=f"^{what}; convert them to .png$"):
        configure(backbone.spec, read_recipe(small_recipe()), Context(tmp_path, root, seed=0))


def test_a_recipe_that_does_not_tap_the_last_block_says_so(
    data_root: Path, small_recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    context = Context(tmp_path, data_root, seed=0)
    spec = replace(Backbone.load("random:vit_demo").spec, depth=12)
    configure(spec, read_recipe(small_recipe()), context)
    assert "taps blocks 0, 1, 2, 3 of 12, counted from 0: not the last one" in context.deviations


def test_another_number_of_classes_than_the_recipes_is_refused(
    root: Path, backbone: Backbone, small_recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="names 5 classes, the recipe has 7; give a list of 7 classes"):
        configure(backbone.spec, read_recipe(small_recipe("classes=7")), Context(tmp_path, root, seed=0))


def test_truncated_files_are_named(root: Path) -> None:
    image_of(root).write_bytes(image_of(root).read_bytes()[:200])
    annotation_of(root, 2).write_bytes(b"")
    assert [what.split(":")[0] for what in found(root)] == ["ADE_train_00000001", "ADE_train_00000002"]


def test_annotations_of_the_full_ade20k_are_recognized(root: Path) -> None:
    Image.new("RGB", (64, 64)).save(annotation_of(root))
    problems = list(check.problems(root))
    assert [problem.what for problem in problems] == [f"{annotation_of(root)} is a RGB image, not one label per pixel"]
    assert "ADEChallengeData2016" in problems[0].remedy


def test_an_annotation_of_another_size_is_named(root: Path) -> None:
    Image.new("L", (32, 64), 1).save(annotation_of(root))
    assert found(root) == [f"{annotation_of(root)} is 32 x 64, its image 64 x 64"]


@pytest.mark.parametrize("place", [lambda root: root.parent, lambda root: root / "images"])
def test_a_wrong_folder_is_named(root: Path, place: Callable[[Path], Path]) -> None:
    assert found(place(root)) == [f"{place(root)} has no images and annotations folders"]


def test_the_folder_above_is_recognized(root: Path) -> None:
    root.rename(root.with_name("ADEChallengeData2016"))
    (problem,) = check.problems(root.parent)
    assert problem.remedy == f"give {root.with_name('ADEChallengeData2016')} as the data root"


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_grayscale_and_cmyk_images_under_unicode_names_are_read(tmp_path: Path, mode: str) -> None:
    """As mmsegmentation reads them: three channels, the same gray."""
    for folder in ("images", "annotations"):
        (tmp_path / folder).mkdir()
    Image.new("RGB", (64, 48), (120, 120, 120)).convert(mode).save(tmp_path / "images/Zürich_東京.jpg", quality=95)
    labels = np.array([[0, 1, 150, 255]], np.uint8).repeat(48, 0).repeat(16, 1)
    Image.fromarray(labels).save(tmp_path / "annotations/Zürich_東京.png")
    init_default_scope("mmseg")
    pipeline = [{"type": "LoadImageFromFile"}, {"type": "LoadAnnotations", "reduce_zero_label": True}]
    folders = {"img_path": "images", "seg_map_path": "annotations"}
    dataset = DATASETS.build(
        {"type": "ADE20KDataset", "data_root": str(tmp_path), "data_prefix": folders, "pipeline": pipeline}
    )
    item = dataset[0]
    assert item["img"].shape == (48, 64, 3)
    assert abs(item["img"].astype(int) - 120).max() <= 3
    assert list(item["gt_seg_map"][0, ::16]) == [255, 0, 149, 255]
