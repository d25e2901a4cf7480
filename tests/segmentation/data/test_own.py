"""Images with masks of one's own: recognised, laid out for mmsegmentation, one line for each thing that is wrong."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from crossmae.recipe import load_recipe
from segmentation.data import check
from segmentation.data.layout import class_names
from segmentation.data.own import fingerprint_of_own, read_own, tidy
from segmentation.data.own_check import check_own, describe_own
from segmentation.recipe import RECIPES, fit_to_data, fit_to_depth, read_recipe


def save(path: Path, value: Any, mode: str = "L", size: tuple[int, int] = (40, 30), **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value).save(path, **options)


def pairs(root: Path, count: int = 5, images: str = "images", masks: str = "masks", prefix: str = "") -> Path:
    for number in range(count):
        save(root / images / f"{prefix}{number} ü.jpg", (9, 9, 9), "RGB")
        labels = np.full((30, 40), number % 3, np.uint8)
        labels[:5] = 255
        path = root / masks / f"{prefix}{number} ü.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(labels).save(path)
    return root


def problems(root: Path, **options: str) -> list[str]:
    return [str(problem) for problem in check_own(root, options)]


def test_classes_and_split_come_from_the_data(tmp_path: Path) -> None:
    root = pairs(tmp_path / "data")
    assert not problems(root)
    data = read_own(root, {})
    assert data.classes == ("background", "label 1", "label 2")
    assert {name: len(split.names) for name, split in data.splits.items()} == {"training": 4, "validation": 1}
    (line,) = describe_own(root, {})
    assert "3 classes (background, label 1, label 2), label 0 is a class" in line

    folder = tidy(data, tmp_path / "run" / "data")
    assert class_names(folder) == data.classes
    assert not [*check.problems(folder)]


def test_label_zero_is_ignored_by_choice_and_makes_another_data_set(tmp_path: Path) -> None:
    root = pairs(tmp_path)
    assert read_own(root, {"background": "ignore"}).classes == ("label 1", "label 2")
    assert fingerprint_of_own(root, {}) != fingerprint_of_own(root, {"background": "ignore"})


@pytest.mark.parametrize(
    ("images", "masks"),
    [("images/{}", "masks/{}"), ("{}/images", "{}/labels"), ("JPEGImages/{}", "SegmentationClass/{}")],
)
def test_usual_places_are_found(tmp_path: Path, images: str, masks: str) -> None:
    for split in ("train", "val"):
        pairs(tmp_path, 3, images.format(split), masks.format(split), prefix=split)
    data = read_own(tmp_path, {})
    assert data.given
    assert [len(split.names) for split in data.splits.values()] == [3, 3]
    assert not problems(tmp_path)


@pytest.mark.parametrize("given", [True, False])
def test_values_are_tuned_on_training_images_alone(tmp_path: Path, given: bool) -> None:
    """Other validation masks change nothing."""
    pairs(tmp_path, 10, "images/train" if given else "images", "masks/train" if given else "masks")
    if given:
        pairs(tmp_path, 3, "images/val", "masks/val", prefix="val ")
    whole = set(read_own(tmp_path, {}).splits["training"].names)
    tuned = read_own(tmp_path, {"tuning": "yes"})
    fitted, held = (set(split.names) for split in tuned.splits.values())
    assert fitted | held == whole
    assert not fitted & held
    assert len(held) == 2
    if given:
        before = fingerprint_of_own(tmp_path, {"tuning": "yes"})
        save(tmp_path / "masks" / "val" / "val 0 ü.png", 7)
        assert fingerprint_of_own(tmp_path, {"tuning": "yes"}) == before


@pytest.mark.parametrize(("images", "masks"), [("images/{}", "masks/{}"), ("{}/images", "{}/masks")])
def test_what_is_called_test_is_no_validation_set_unless_a_task_names_it(
    tmp_path: Path, images: str, masks: str
) -> None:
    for split in ("train", "test"):
        pairs(tmp_path, 5, images.format(split), masks.format(split), prefix=split)
    held = read_own(tmp_path, {}).splits["validation"].names
    assert [name[:5] for name in held] == ["train"]
    said, _ = describe_own(tmp_path, {})
    assert said.endswith("test is left alone, a part of train is held out; val: test would be taken instead")
    assert len(read_own(tmp_path, {"val": "test"}).splits["validation"].names) == 5
    assert len([*describe_own(tmp_path, {"val": "test"})]) == 1


def test_links_lead_where_they_lead_in_other_data(tmp_path: Path) -> None:
    """Folders elsewhere are read, circles once; a maze is refused."""
    root = pairs(tmp_path / "data")
    for kind in ("images", "masks"):
        pairs(tmp_path / "far")
        (root / kind / "more").symlink_to(tmp_path / "far" / kind)
        (root / kind / "back").symlink_to(".")
    assert sorted(read_own(root, {}).splits["training"].names + read_own(root, {}).splits["validation"].names) == [
        *(f"{number} ü" for number in range(5)),
        *(f"more/{number} ü" for number in range(5)),
    ]
    assert not problems(root)
    for depth in range(6):
        (root / f"hidden/{depth}").mkdir(parents=True)
        for way in range(4):
            (root / f"hidden/{depth}/{way}").symlink_to(f"../{depth + 1}")
    (root / "hidden" / "6").mkdir()
    (root / "masks" / "in").symlink_to("../hidden/0")
    (line,) = problems(root)
    assert "more than 100 paths lead to" in line


def test_palettes_and_endings_of_names_are_understood(tmp_path: Path) -> None:
    root = pairs(tmp_path)
    for path in sorted((root / "masks").iterdir()):
        palette = Image.open(path)
        palette.putpalette([value for index in range(256) for value in (index * 40 % 256, 9, 9)])
        assert palette.mode == "P"
        palette.save(path.with_name(f"{path.stem}_mask.png"))
        path.unlink()
    assert not problems(root)
    assert len(read_own(root, {}).classes) == 3


def test_names_of_classes_by_a_file_or_a_task(tmp_path: Path) -> None:
    root = pairs(tmp_path)
    (root / "classes.txt").write_text("soil\nleaf\nroot\n")
    assert read_own(root, {}).classes == ("soil", "leaf", "root")
    assert read_own(root, {"classes": "a\nb\nc"}).classes == ("a", "b", "c")
    (line,) = problems(root, classes="a\nb")
    assert "has label 2, but the classes are 0 to 1; name more classes" in line


def test_the_recipe_follows_data_and_backbone() -> None:
    recipe = load_recipe(RECIPES, "masks_upernet_small")
    values = fit_to_depth(fit_to_data(recipe, read_recipe(recipe).protocol, 3, images=1000), depth=12).protocol
    assert (values["classes"], values["steps"], values["out_indices"]) == (3, 2500, [2, 5, 8, 11])


def sixteen_bits(root: Path) -> None:
    Image.fromarray(np.full((30, 40), 300, np.uint16)).save(root / "masks" / "0 ü.png")


def lossy(root: Path) -> None:
    save(root / "images/9.png", 0, "RGB")
    save(root / "masks/9.jpg", 1)


def emptied(root: Path) -> None:
    for path in (root / "masks").iterdir():
        save(path, 0)


def turned(root: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    save(root / "images" / "0 ü.jpg", (9, 9, 9), "RGB", exif=exif)


BROKEN: dict[str, tuple[Callable[[Path], Any], str]] = {
    "another size": (lambda root: save(root / "masks/0 ü.png", 1, size=(30, 40)), "0 ü have masks of another size"),
    "colours": (lambda root: save(root / "masks/0 ü.png", (1, 2, 3), "RGB"), "0 ü have masks of colours (RGB)"),
    "16 bits": (sixteen_bits, "0 ü have masks of 16 or 32 bits, not one 8-bit label per pixel; save them as 8-bit"),
    "no mask": (lambda root: (root / "masks/3 ü.png").unlink(), "images: no mask for 3 ü; add them to"),
    "no image": (lambda root: (root / "images/3 ü.jpg").unlink(), "masks: no image for 3 ü; add them to"),
    "lossy": (lossy, "9.jpg are JPEG or WebP, which change labels; save masks as PNG"),
    "turned": (turned, "0 ü are turned by an EXIF orientation, their masks are not; write the images upright"),
    "torn mask": (lambda root: (root / "masks/1 ü.png").write_bytes(b"\x89PNG"), "1 ü cannot be read as masks"),
    "torn image": (lambda root: (root / "images/1 ü.jpg").write_bytes(b""), "1 ü cannot be read as images"),
    "images of one name": (
        lambda root: save(root / "images/0 ü.png", 0, "RGB"),
        "images: 0 ü.jpg and 0 ü.png have one name, '0 ü', by which images find their masks; rename or remove one",
    ),
    "masks of one name": (
        lambda root: save(root / "masks/0 ü_mask.png", 1),
        "masks: 0 ü.png and 0 ü_mask.png have one name, '0 ü', by which images find their masks",
    ),
    "one label": (emptied, "the masks hold one class only"),
    "class twice": (lambda root: (root / "classes.txt").write_text("a\na\n"), "classes.txt names a class twice"),
    "no masks at all": (lambda root: shutil.rmtree(root / "masks"), "has no training image with a mask; it needs"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_data_are_one_line(name: str, tmp_path: Path) -> None:
    root = pairs(tmp_path)
    change, expected = BROKEN[name]
    change(root)
    (line,) = problems(root)
    assert expected in line


def test_masks_where_everything_is_ignored_are_named(tmp_path: Path) -> None:
    root = pairs(tmp_path)
    emptied(root)
    (line,) = problems(root, background="ignore", classes="a\nb")
    assert "every pixel is ignored; set background: keep" in line
