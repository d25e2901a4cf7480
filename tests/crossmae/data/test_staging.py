"""A staged cache stands for the data set that it was made of."""

import io
import json
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from crossmae.commands import data as commands
from crossmae.data.decode import read_rgb
from crossmae.data.keyed import SampleKey
from crossmae.data.open import open_images
from crossmae.data.samples import ImageSamples, Views
from crossmae.data.staging.forms import Form
from crossmae.data.staging.manifest import Manifest
from crossmae.data.staging.stage import Staging
from crossmae.errors import UserError
from crossmae.pretraining.run import pretrain
from crossmae.recipe import load_recipe

GOLDEN = Path(__file__).parents[1] / "train" / "golden"

VIEWS = Views(image_size=16, num_patches=4, seed=1)
KEYS = [SampleKey(epoch, index) for epoch in range(2) for index in range(6)]


def jpeg(number: int, width: int = 40, height: int = 30, **options: object) -> bytes:
    stream = io.BytesIO()
    noise = np.random.default_rng(number).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((width, height)).save(stream, "JPEG", **options)
    return stream.getvalue()


def fill(root: Path, count: int = 6, **options: int) -> Path:
    for number in range(count):
        path = root / "train" / f"class_{number % 2}" / f"{number:04d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(number, **options))
    return root


def stage(source: Path, folder: Path, form: str = "jpeg", short_side: int = 400, **options: int) -> Manifest:
    return Staging(source, folder, Form(form, short_side), processes=0, **options).run()  # type: ignore[arg-type]


@pytest.fixture
def layouts(tmp_path: Path) -> dict[str, Path]:
    """Six images, of which the fourth is broken, in every layout; one has a name beyond ASCII."""
    folder = fill(tmp_path / "folder")
    (folder / "train" / "class_1" / "0003.jpg").write_bytes(jpeg(3)[:-300])
    (folder / "train" / "class_1" / "0005.jpg").rename(folder / "train" / "class_1" / "größe.jpg")
    (folder / "val").mkdir()
    (folder / "val" / "9.png").write_bytes(jpeg(9))
    files = sorted(path.relative_to(tmp_path) for path in (folder / "train").rglob("*.jpg"))
    (tmp_path / "list.txt").write_text("\n".join(map(str, files)))
    (tmp_path / "shards").mkdir()
    for name, chosen in (("a", files[:3]), ("b", files[3:])):
        with tarfile.open(tmp_path / "shards" / f"{name}.tar", "w") as tar:
            for path in chosen:
                tar.add(tmp_path / path, path.name)
    return {"folder": folder, "list": tmp_path / "list.txt", "shards": tmp_path / "shards"}


@pytest.mark.parametrize("layout", ["folder", "list", "shards"])
def test_a_jpeg_cache_of_small_images_gives_the_same_samples(
    layout: str, layouts: dict[str, Path], tmp_path: Path
) -> None:
    stage(layouts[layout], tmp_path / "cache", per_part=4)
    before, after = open_images(layouts[layout]), open_images(tmp_path / "cache")

    assert after.fingerprint == before.fingerprint
    assert after.deviations == ()
    assert [after.relative(index) for index in range(6)] == [before.relative(index) for index in range(6)]
    expected, found = (ImageSamples(images, VIEWS).__getitems__(KEYS) for images in (before, after))
    assert torch.equal(found["image"], expected["image"])
    assert torch.equal(found["noise"], expected["noise"])
    assert found["unreadable"] == expected["unreadable"] != []


def test_a_staged_folder_is_opened_as_the_folder_would_be(layouts: dict[str, Path], tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    stage(layouts["folder"], cache)

    assert len(open_images(cache)) == len(open_images(cache / "train")) == 6
    assert open_images(cache, split="val").relative(0) == "9.png"
    assert open_images(cache / "train" / "class_1").relative(2) == "größe.jpg"
    with pytest.raises(UserError, match="holds no image"):
        open_images(cache / "test")


def test_broken_images_are_listed_and_stay_broken(
    layouts: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache = tmp_path / "cache"
    commands.stage(layouts["folder"], cache, processes=0)

    assert f"1 images cannot be read and stay so; {cache / 'unreadable.txt'} lists them" in capsys.readouterr().out
    assert "0003.jpg: " in (cache / "unreadable.txt").read_text()
    with pytest.raises(UserError, match="1 of 6 images cannot be read"):
        commands.check_data(cache, processes=0)
    assert capsys.readouterr().out.startswith(str(cache / "train" / "class_1" / "0003.jpg"))


@pytest.mark.parametrize(("form", "large", "small"), [("jpeg", (60, 80), (30, 40)), ("raw", (60, 80), (30, 40))])
def test_large_images_are_shrunk_and_small_ones_are_left(
    form: str, large: tuple[int, int], small: tuple[int, int], tmp_path: Path
) -> None:
    source = tmp_path / "images"
    source.mkdir()
    (source / "a.jpg").write_bytes(jpeg(1, 300, 400))
    (source / "b.jpg").write_bytes(jpeg(2, *small))
    stage(source, tmp_path / "cache", form, short_side=60)

    staged = open_images(tmp_path / "cache")
    assert read_rgb(staged.read(0)).size == large
    assert np.array_equal(np.array(read_rgb(staged.read(1))), np.array(read_rgb(source / "b.jpg")))
    whole = np.array(read_rgb(source / "a.jpg").resize(large, Image.Resampling.BICUBIC)).astype(int)
    assert np.abs(np.array(read_rgb(staged.read(0))).astype(int) - whole).mean() < (4 if form == "jpeg" else 0.01)
    assert staged.fingerprint != open_images(source).fingerprint
    assert len(staged.deviations) == 1


def test_an_orientation_is_kept_for_those_who_heed_it(tmp_path: Path) -> None:
    source, exif = tmp_path / "images", Image.Exif()
    source.mkdir()
    exif[0x0112] = 6  # to be turned by 90 degrees
    (source / "a.jpg").write_bytes(jpeg(1, 300, 400, exif=exif))
    for form, as_stored in (("jpeg", (60, 80)), ("raw", (80, 60))):
        stage(source, tmp_path / form, form, short_side=60)
        content = open_images(tmp_path / form).read(0)
        assert read_rgb(content).size == (80, 60)
        assert read_rgb(content, upright=False).size == as_stored


@pytest.mark.slow
def test_staging_that_was_killed_goes_on_and_is_not_used_before(tmp_path: Path) -> None:
    source, cache = fill(tmp_path / "images", count=1100, width=200, height=150), tmp_path / "cache"
    line = [sys.executable, "-m", "crossmae", "stage", str(source), str(cache), "--form", "raw", "--processes", "1"]
    process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not (cache / "000000.json").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    with pytest.raises(UserError, match="was not finished"):
        open_images(cache)

    written = (cache / "000000.bin").stat().st_mtime_ns
    commands.stage(source, cache, commands.FormOption.RAW)
    assert (cache / "000000.bin").stat().st_mtime_ns == written
    stage(source, tmp_path / "at_once", "raw", short_side=256)
    for path in (tmp_path / "at_once").iterdir():
        assert (cache / path.name).read_bytes() == path.read_bytes(), path.name


@pytest.mark.parametrize("form", ["jpeg", "raw"])
def test_a_file_that_is_gone_is_one_more_broken_image(form: str, tmp_path: Path) -> None:
    source = fill(tmp_path / "images")
    (source / "train" / "class_0" / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    assert stage(source, tmp_path / "cache", form, short_side=256).unreadable == 1


def test_another_form_is_not_written_over_a_cache(tmp_path: Path) -> None:
    source, cache = fill(tmp_path / "images"), tmp_path / "cache"
    stage(source, cache)
    assert stage(source, cache).plan.images == 6
    with pytest.raises(UserError, match="another folder"):
        stage(source, cache, "raw")
    with pytest.raises(UserError, match="not empty"):
        stage(source, source)
    with pytest.raises(UserError, match="is a cache already"):
        stage(cache, tmp_path / "again")


def test_a_changed_byte_is_found(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    stage(fill(tmp_path / "images"), cache, per_part=3)
    content = bytearray((cache / "000001.bin").read_bytes())
    content[100] ^= 1
    (cache / "000001.bin").write_bytes(content)

    with pytest.raises(UserError, match=r"000001\.bin changed"):
        commands.check_data(cache, processes=0)


@pytest.mark.parametrize("name", ["000001.bin", "index.npy", "names", "crossmae-cache.json"])
def test_a_cut_file_is_found_when_the_cache_is_opened(name: str, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    stage(fill(tmp_path / "images"), cache, per_part=3)
    (cache / name).write_bytes((cache / name).read_bytes()[:-7])

    with pytest.raises(UserError, match="is damaged"):
        open_images(cache)


def test_a_disk_that_is_too_small_is_told_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**6, 0, 10_000))
    with pytest.raises(UserError, match=r"takes about 0\.02 MB, and .* has 0\.01 MB free"):
        stage(fill(tmp_path / "images"), tmp_path / "cache", "raw", short_side=256)
    assert not list((tmp_path / "cache").glob("*.bin"))


def test_lists_beside_the_images_come_along(tmp_path: Path) -> None:
    source = fill(tmp_path / "images")
    (source / "labels.json").write_text(json.dumps({"a": 1}))
    stage(source, tmp_path / "cache")
    assert json.loads((tmp_path / "cache" / "labels.json").read_text()) == {"a": 1}


def test_pretraining_on_a_raw_cache_says_so_in_its_checkpoint(tmp_path: Path) -> None:
    cache, losses = tmp_path / "cache", []
    stage(fill(tmp_path / "images", count=20, width=80, height=60), cache, "raw", short_side=40)
    for augment in ("host", "device"):
        recipe = load_recipe(GOLDEN, "tiny", ["steps=6", f"augment={augment}"])
        done = pretrain(recipe, cache, tmp_path / augment, seed=0, progress=lambda *_: None, device="cpu")
        losses.append(done.metrics["loss"])
        config = (done.checkpoint / "config.json").read_text()
        assert (
            "images turned upright and shrunk to a shorter side of 40, so that small crops of them are enlarged"
            in config
        )

    assert losses[0] == pytest.approx(losses[1], rel=5e-3)


def test_only_pixels_can_be_augmented_on_the_device(tmp_path: Path) -> None:
    recipe = load_recipe(GOLDEN, "tiny", ["augment=device"])
    with pytest.raises(UserError, match="crossmae stage --form raw"):
        pretrain(recipe, fill(tmp_path / "images"), tmp_path / "run", 0, lambda *_: None, device="cpu")
