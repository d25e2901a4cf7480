"""A data set's fingerprint tells other data apart, and knows the same data on another machine."""

import shutil
from pathlib import Path

import pytest
from PIL import Image

from crossmae.data.demo.write import mark_generated, write_unlabelled
from crossmae.data.images import described_files, files_of_any_kind, fingerprint_of
from crossmae.data.published import files_below


def fingerprint(root: Path) -> str:
    return fingerprint_of(described_files(root, files_of_any_kind(root)))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("cat/1.jpg", "cat/2.jpg", "dog/1.jpg"):
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return tmp_path / "data"


def test_a_copy_elsewhere_is_the_same_data(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path / "elsewhere" / "copy")
    assert fingerprint(tmp_path / "elsewhere" / "copy") == fingerprint(root)


def test_a_file_more_less_renamed_or_longer_is_other_data(root: Path) -> None:
    seen = {fingerprint(root)}
    (root / "cat" / "3.jpg").write_bytes(b"3")
    seen.add(fingerprint(root))
    (root / "cat" / "3.jpg").rename(root / "dog" / "3.jpg")
    seen.add(fingerprint(root))
    (root / "dog" / "3.jpg").write_bytes(b"33")
    seen.add(fingerprint(root))
    (root / "dog" / "1.jpg").unlink()
    seen.add(fingerprint(root))
    assert len(seen) == 5


def test_generated_images_are_known_by_their_pixels_however_they_are_compressed(tmp_path: Path) -> None:
    write_unlabelled(tmp_path / "here", count=6)
    write_unlabelled(tmp_path / "there", count=6)
    for path in (tmp_path / "there").glob("*.png"):
        Image.open(path).save(path, compress_level=9)
    sizes = [[path.stat().st_size for path in (tmp_path / name).glob("*.png")] for name in ("here", "there")]
    assert sizes[0] != sizes[1]
    assert fingerprint(tmp_path / "here") == fingerprint(tmp_path / "there")
    Image.new("RGB", (64, 64)).save(tmp_path / "there" / "000000.png")
    assert fingerprint(tmp_path / "here") != fingerprint(tmp_path / "there")


def test_an_image_that_is_listed_and_not_there_is_no_error(root: Path) -> None:
    assert fingerprint_of(described_files(root, ["cat/9.jpg"])) != fingerprint_of(described_files(root, ["cat/1.jpg"]))
    mark_generated(root)
    assert len([*described_files(root, [files_below(root).relative(0)])]) == 2
