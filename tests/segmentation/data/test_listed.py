"""Pascal VOC 2012 and Cityscapes in their publishers' layouts: read by mmsegmentation, or refused with a remedy."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope
from numpy.typing import NDArray
from PIL import Image

from crossmae.backbone import Backbone
from crossmae.data.demo.scenes import SceneSource
from crossmae.errors import UserError
from crossmae.recipe import load_recipe
from segmentation.data.listed import ListedSet
from segmentation.data.sets import SETS
from segmentation.linear import run
from segmentation.linear.config import linear
from segmentation.linear.recipe import read_recipe
from segmentation.linear.task import LinearSegmentationTask
from transfer.harness.plan.tasks import load_specs
from transfer.task import Context

RECIPES = Path(run.__file__).parent / "recipes"
NAMES = ("voc2012", "cityscapes")


def data_of(name: str) -> ListedSet:
    data = SETS[name]
    assert isinstance(data, ListedSet)
    return data


@pytest.fixture(scope="module")
def demos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Eight training images and three validation images of each."""
    folder = tmp_path_factory.mktemp("demo")
    for name in NAMES:
        data_of(name).demo(folder / name, SceneSource(0), {"train": 8, "val": 3})
    return {name: folder / name for name in NAMES}


def save(pixels: NDArray[np.uint8], path: Path, palette: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels)
    if palette:
        image.putpalette(list(range(256)) * 3)
    image.save(path)


def labels(classes: int) -> NDArray[np.uint8]:
    """Every class, and pixels to ignore."""
    return np.concatenate([np.arange(classes), np.full(40 * 50 - classes, 255)]).astype(np.uint8).reshape(40, 50)


@pytest.fixture
def published(tmp_path: Path) -> Callable[[str], Path]:
    """One training image and one validation image, as the archives have them."""

    def write(name: str) -> Path:
        root, picture = tmp_path / name, np.zeros((40, 50, 3), np.uint8)
        for number, split in enumerate(("train", "val")):
            if name == "voc2012":
                stem = f"2007_00003{number}"
                save(picture, root / "JPEGImages" / f"{stem}.jpg")
                save(labels(21), root / "SegmentationClass" / f"{stem}.png", palette=True)
                lists = root / "ImageSets" / "Segmentation"
                lists.mkdir(parents=True, exist_ok=True)
                (lists / f"{split}.txt").write_text(f"{stem}\n")
            else:
                stem = f"ulm/ulm_00000{number}_000019"
                save(picture, root / "leftImg8bit" / split / f"{stem}_leftImg8bit.png")
                for end in ("labelTrainIds", "labelIds"):
                    save(labels(19), root / "gtFine" / split / f"{stem}_gtFine_{end}.png")
        return root

    return write


def config_of(name: str, root: Path, recipe: str) -> Config:
    values = read_recipe(load_recipe(RECIPES, f"{name}_linear@raw_{recipe}")).protocol
    assert values.classes is not None
    return linear(values, Backbone.load("random:vit_demo").about, data_of(name).loaders(root, values.classes))


@pytest.mark.parametrize("name", NAMES)
def test_mmsegmentations_own_class_reads_the_published_layout(name: str, published: Callable[[str], Path]) -> None:
    """Label 0 stays a class, 255 stays ignored, and counts other than the published ones are said."""
    root, data = published(name), data_of(name)
    assert [*data.check(root)] == []
    assert [text.split(" (")[0] for text in data.departures(root)] == ["1 train images", "1 val images"]
    init_default_scope("mmseg")
    config = config_of(name, root, "full")
    for loader in (config.train_dataloader, config.val_dataloader):
        dataset = DATASETS.build(loader.dataset)
        assert type(dataset).__name__ == {"voc2012": "PascalVOCDataset", "cityscapes": "CityscapesDataset"}[name]
        assert len(dataset) == 1
        assert len(dataset.metainfo["classes"]) == data.classes
    sample = dataset[0]["data_samples"].gt_sem_seg.data[0].numpy()
    assert (sample == labels(data.classes)).all()


@pytest.mark.parametrize("name", NAMES)
def test_the_demo_is_in_the_layout_and_trains(name: str, demos: dict[str, Path], tmp_path: Path) -> None:
    root, data = demos[name], data_of(name)
    assert [*data.check(root), *data.departures(root)] == []
    task = LinearSegmentationTask(load_specs()[f"{name}_linear@raw"])
    small = ["global_batch=4", "steps=3", "warmup_steps=1", "evaluate_every=1000"]
    context = Context(tmp_path, root, seed=0)
    metrics = task.run(
        Backbone.load("random:vit_demo"), load_recipe(RECIPES, f"{name}_linear@raw_demo", small), context
    )
    task.spec.check_metrics(metrics)
    assert 0 < metrics["miou"] < 100


@pytest.mark.parametrize("name", NAMES)
def test_the_fingerprint_knows_another_image_and_no_folder(
    name: str, published: Callable[[str], Path], tmp_path: Path
) -> None:
    root, data = published(name), data_of(name)
    elsewhere = shutil.copytree(root, tmp_path / "elsewhere")
    assert data.fingerprint(elsewhere) == data.fingerprint(root)
    image, _ = data.place(elsewhere, "val", data.names(elsewhere, "val")[0])
    save(np.random.default_rng(0).integers(0, 255, (40, 50, 3), np.uint8), image)
    assert data.fingerprint(elsewhere) != data.fingerprint(root)


def rgb(path: Path) -> None:
    save(np.zeros((40, 50, 3), np.uint8), path)


def strange(path: Path) -> None:
    save(np.full((40, 50), 33, np.uint8), path)


def shorter(path: Path) -> None:
    save(np.zeros((30, 50), np.uint8), path)


@pytest.mark.parametrize(
    ("fault", "complaint"),
    [
        (Path.unlink, r"^train: no .*(2007_000030|ulm_000000).* for .*; (unpack VOC|make them: .*csCreateTrainId)"),
        (rgb, "is a RGB image, not one label per pixel"),
        (strange, "has label 33, but there are (21|19) classes"),
        (shorter, "is 50 x 30, its image 50 x 40"),
    ],
)
@pytest.mark.parametrize("name", NAMES)
def test_wrong_annotations_are_named(
    name: str, fault: Callable[[Path], Any], complaint: str, published: Callable[[str], Path]
) -> None:
    root, data = published(name), data_of(name)
    fault(data.place(root, "train", data.names(root, "train")[0])[1])
    (problem,) = data.check(root)
    assert re.search(complaint, str(problem)), str(problem)


def test_training_refuses_what_is_missing_before_it_begins(published: Callable[[str], Path]) -> None:
    root = published("voc2012")
    next((root / "JPEGImages").glob("*30.jpg")).unlink()
    with pytest.raises(UserError, match="train: no image for 2007_000030; unpack the images again"):
        config_of("voc2012", root, "full")


@pytest.mark.parametrize("line", ["../2007_000030", "", "2007_000030\n2007_000030"])
def test_a_list_that_names_no_image_is_refused(line: str, published: Callable[[str], Path]) -> None:
    root = published("voc2012")
    (root / "ImageSets/Segmentation/train.txt").write_text(f"{line}\n")
    (problem,) = data_of("voc2012").check(root)
    assert "train.txt" in str(problem)


def test_the_folder_within_is_named(published: Callable[[str], Path], tmp_path: Path) -> None:
    outer = tmp_path / "outer"
    shutil.copytree(published("voc2012"), outer / "VOCdevkit" / "VOC2012")
    (problem,) = data_of("voc2012").check(outer)
    assert str(problem).endswith(f"give {outer / 'VOCdevkit/VOC2012'} as the data root")
    (problem,) = data_of("cityscapes").check(outer)
    assert "it needs the folders leftImg8bit, gtFine" in str(problem)
