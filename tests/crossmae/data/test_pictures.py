"""Faster ways to a view of an image stay within what the documentation says of them."""

import hashlib
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.functional import InterpolationMode, hflip, resized_crop

from crossmae.data.crops import Crops
from crossmae.data.decode import UnreadableImage, read_rgb
from crossmae.data.demo.scenes import SceneSource
from crossmae.data.keyed import SampleKey
from crossmae.data.open import open_images
from crossmae.data.pictures import open_picture
from crossmae.data.samples import BoxSamples, ImageSamples, Views, make_views
from crossmae.data.staging.forms import Form
from crossmae.data.staging.stage import Staging

VIEWS = Views(image_size=32, num_patches=4, seed=3)


def scene(number: int, side: int = 64) -> Image.Image:
    (drawn,) = SceneSource(0).draw(f"pictures-{number}", "unlabelled", 1, objects=(1, 2), scale=(0.5, 0.9))
    return Image.fromarray(drawn.image).resize((side + 8 * number, side), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def rotated(image: Image.Image) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(image, exif=exif)


FILES: dict[str, Callable[[Image.Image], bytes]] = {
    "4:2:0": lambda image: encoded(image, quality=90),
    "4:4:4": lambda image: encoded(image, quality=97, subsampling=0),
    "progressive": lambda image: encoded(image, progressive=True),
    "grey": lambda image: encoded(image.convert("L")),
    "cmyk": lambda image: encoded(image.convert("CMYK")),
    "rotated": rotated,
    "png": lambda image: encoded(image, "PNG"),
}


@pytest.mark.parametrize("kind", FILES)
def test_fast_pixels_are_pillows_up_to_rounding(kind: str) -> None:
    for number in range(3):
        content = FILES[kind](scene(number, side=120))
        exact, fast = open_picture(content, exact=True), open_picture(content, exact=False)
        assert fast.size == exact.size
        box = (5, 3, 90, 101)
        difference = (fast.view(box, 64).int() - exact.view(box, 64).int()).abs()
        assert difference.float().mean() < 0.1
        assert (difference > 1).float().mean() < 0.002


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("side", [120, 900])
def test_an_image_is_turned_only_if_asked_for(exact: bool, side: int) -> None:
    stored = scene(2, side=side).resize((side, side // 2))
    content = rotated(stored)
    assert open_picture(content, exact).size == (side // 2, side)

    # What the released code does: torchvision's loader opens and converts, and looks at no EXIF.
    plain = open_picture(encoded(stored), exact)
    left = open_picture(content, exact, upright=False)
    assert left.size == plain.size == stored.size
    box = (0, 0, side // 2, side // 2)
    assert torch.equal(left.view(box, 32), plain.view(box, 32))


def test_a_shrunk_decoding_of_a_large_photo_is_close() -> None:
    content = encoded(scene(1, side=900), quality=90)
    exact, fast = open_picture(content, exact=True), open_picture(content, exact=False)
    for box in ((0, 0, 900, 900), (101, 57, 700, 640), (3, 9, 300, 200)):
        difference = (fast.view(box, 64).int() - exact.view(box, 64).int()).abs()
        assert difference.float().mean() < 1.5


@pytest.mark.parametrize("content", [b"", b"<html>", encoded(scene(0))[:-400], Path("gone.jpg")])
def test_what_pillow_refuses_is_refused(content: bytes | Path) -> None:
    for exact in (True, False):
        with pytest.raises(UnreadableImage):
            open_picture(content, exact).view((0, 0, 20, 20), 16)


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Six images of several sizes, as pixels; one is broken."""
    source = tmp_path / "images"
    source.mkdir()
    for number in range(6):
        scene(number, side=60 + 5 * number).save(source / f"{number}.png")
    (source / "3.png").write_bytes(b"broken")
    Staging(source, tmp_path / "raw", Form("raw", 64), processes=0).run()
    return tmp_path / "raw"


def test_views_made_on_the_device_are_those_of_the_host_up_to_rounding(raw: Path) -> None:
    images = open_images(raw)
    keys = [SampleKey(epoch, index) for epoch in range(20) for index in range(6)]
    host, boxes = ImageSamples(images, VIEWS).__getitems__(keys), BoxSamples(images, VIEWS).__getitems__(keys)

    views = make_views(boxes["canvas"], boxes["box"], VIEWS.image_size)
    difference = (views - host["image"]).abs()
    assert difference.mean() < 0.35
    assert (difference > 1.5).float().mean() < 0.001
    assert torch.equal(boxes["noise"], host["noise"])
    assert boxes["unreadable"] == host["unreadable"] == [3] * 20


def test_views_made_on_the_device_are_torchvisions(raw: Path) -> None:
    images = open_images(raw)
    keys = [SampleKey(epoch, 5) for epoch in range(20)]
    boxes = BoxSamples(images, VIEWS).__getitems__(keys)
    views = make_views(boxes["canvas"], boxes["box"], VIEWS.image_size)

    pixels = torch.from_numpy(np.array(read_rgb(images.read(5)))).permute(2, 0, 1).float()
    crops: Crops = VIEWS.crops(keys, [(pixels.shape[2], pixels.shape[1])] * len(keys))
    for place in range(len(keys)):
        left, top, width, height = crops.box(place)
        view = resized_crop(pixels, top, left, height, width, [32, 32], InterpolationMode.BICUBIC, antialias=True)
        expected = hflip(view) if crops.mirror[place] else view
        difference = (views[place] - expected.clamp(0, 255)).abs()
        assert difference.mean() < 0.05
        assert (difference > 0.5).float().mean() < 0.01


def test_samples_of_the_demos_images_stay_what_the_measured_tables_rest_on(tmp_path: Path) -> None:
    drawn = SceneSource(0).draw("pretrain-one", "unlabelled", 8, objects=(1, 1), scale=(0.5, 0.9))
    for number, one in enumerate(drawn):
        Image.fromarray(one.image).save(tmp_path / f"{number}.png")
    samples = ImageSamples(open_images(tmp_path), Views(image_size=64, num_patches=64, seed=0))
    batch = samples.__getitems__([SampleKey(epoch, index) for epoch in range(4) for index in range(8)])

    content = batch["image"].numpy().tobytes() + batch["noise"].numpy().tobytes()
    assert hashlib.sha256(content).hexdigest()[:16] == "05b29e12426aacec"


def test_a_file_that_breaks_off_is_replaced_whichever_way_it_is_decoded(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.jpg").write_bytes(encoded(scene(number)))
    (tmp_path / "1.jpg").write_bytes((tmp_path / "1.jpg").read_bytes()[:-300])
    images, keys = open_images(tmp_path), [SampleKey(0, index) for index in (0, 1, 2)]
    for exact in (True, False):
        batch = ImageSamples(images, VIEWS, exact).__getitems__(keys)
        alone = ImageSamples(images, VIEWS, exact)[SampleKey(0, 1)]
        assert batch["unreadable"] == [1]
        assert torch.equal(batch["image"][1], alone["image"][0])
