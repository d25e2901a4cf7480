import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from crossmae.data.decode import read_rgb
from crossmae.data.demo.write import mark_generated
from crossmae.data.images import DEMO_FILE, Source, is_generated
from crossmae.data.keyed import SampleKey
from crossmae.data.open import open_images
from crossmae.data.samples import ImageSamples, MemorySamples, Views
from crossmae.errors import UserError


def png(value: int, side: int = 8) -> bytes:
    stream = io.BytesIO()
    # Half the contrast: nothing overshoots the range of 8 bits when it is resized.
    noise = np.random.default_rng(value).integers(64, 192, (side, side, 3), dtype=np.uint8)
    if side == 8:
        noise[0, 0] = value
    Image.fromarray(noise).save(stream, "PNG")
    return stream.getvalue()


def value(content: Source) -> int:
    assert isinstance(content, Path | bytes)
    return int(np.array(read_rgb(content))[0, 0, 0])


def write_shard(path: Path, members: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


@pytest.fixture
def layouts(tmp_path: Path) -> dict[str, Path]:
    """The images 0 to 5, in this order, in every layout."""
    flat, classes, shards = tmp_path / "flat", tmp_path / "classes", tmp_path / "shards"
    for number in range(6):
        for path in (flat / f"{number}.png", classes / "train" / f"class_{number // 3}" / f"{number}.png"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(png(number))
    (classes / "val").mkdir()
    (classes / "val" / "9.png").write_bytes(png(9))
    (tmp_path / "list.txt").write_text("".join(f"flat/{number}.png\n" for number in range(6)))
    shards.mkdir()
    write_shard(shards / "a.tar", {"0.png": png(0), "0.cls": b"7", "1.png": png(1), "1.cls": b"3"})
    write_shard(shards / "b.tar", {f"{number}.png": png(number) for number in range(2, 6)})
    return {"flat": flat, "classes": classes, "list": tmp_path / "list.txt", "shards": shards}


@pytest.mark.parametrize("layout", ["flat", "classes", "list", "shards"])
def test_every_layout_gives_its_images_in_order(layout: str, layouts: dict[str, Path]) -> None:
    images = open_images(layouts[layout])

    assert [value(images.read(index)) for index in range(len(images))] == list(range(6))
    assert images.name(5).endswith("5.png")


def test_the_fingerprint_tells_other_files_apart(layouts: dict[str, Path]) -> None:
    before = open_images(layouts["flat"]).fingerprint
    assert open_images(layouts["flat"]).fingerprint == before
    (layouts["flat"] / "6.png").write_bytes(png(6))
    assert open_images(layouts["flat"]).fingerprint != before


def test_nothing_to_read_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no image"):
        open_images(tmp_path)
    with pytest.raises(UserError, match="no images at"):
        open_images(tmp_path / "missing")


def test_samples_from_memory_are_those_from_disk_up_to_rounding(tmp_path: Path) -> None:
    for number in range(4):
        (tmp_path / f"{number}.png").write_bytes(png(number, side=24))
    images = open_images(tmp_path)
    views = Views(image_size=16, num_patches=16, seed=1)
    keys = [SampleKey(epoch, index) for epoch in range(10) for index in range(4)]

    batch = MemorySamples(images, views).__getitems__(keys)
    samples = ImageSamples(images, views)
    for row, key in enumerate(keys):
        sample = samples[key]
        assert (batch["image"][row] - sample["image"]).abs().max() <= 1.5
        assert (batch["noise"][row] == sample["noise"]).all()


@pytest.mark.parametrize("content", ['{"name": "my demo"}', "[]", "no JSON", "[" * 900, "{" + " " * 2000 + "}"])
def test_somebodys_file_of_the_marks_name_makes_no_data_generated(content: str, tmp_path: Path) -> None:
    (tmp_path / DEMO_FILE).write_text(content)
    assert not is_generated(tmp_path)
    assert not is_generated(tmp_path / "train")


def test_a_folder_a_link_and_a_list_within_generated_data_are_generated(tmp_path: Path) -> None:
    root = tmp_path / "data"
    (root / "train" / "cat").mkdir(parents=True)
    assert not is_generated(root)
    mark_generated(root)
    (root / "train.txt").write_text("train/cat/0.png\n")
    (tmp_path / "elsewhere").symlink_to(root / "train")
    for path in (root, root / "train" / "cat", root / "train.txt", tmp_path / "elsewhere"):
        assert is_generated(path)
    assert not is_generated(tmp_path)
