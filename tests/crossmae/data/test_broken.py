import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from crossmae.commands.data import unreadable_images
from crossmae.data.decode import UnreadableImage, read_rgb
from crossmae.data.open import open_images
from crossmae.errors import UserError
from crossmae.pretraining.run import pretrain
from crossmae.recipe import load_recipe

GOLDEN = Path(__file__).parents[1] / "train" / "golden"
PIXELS = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
RED = Image.new("RGB", (40, 30), (200, 30, 30))


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def rotated() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    return encoded(Image.fromarray(PIXELS), "JPEG", exif=exif)


def damaged_png() -> bytes:
    content = bytearray(encoded(Image.fromarray(PIXELS), "PNG"))
    content[200:260] = bytes(60)
    return bytes(content)


CONVERTED: dict[str, Callable[[], bytes]] = {
    "cmyk.jpg": lambda: encoded(RED.convert("CMYK"), "JPEG"),
    "sixteen_bit.png": lambda: encoded(Image.fromarray(np.full((30, 40), 40_000, np.uint16)), "PNG"),
    "palette.png": lambda: encoded(RED.convert("P"), "PNG", transparency=0),
    "transparent_grey.png": lambda: encoded(RED.convert("LA"), "PNG"),
    "rotated.jpg": rotated,
    "one_pixel.png": lambda: encoded(Image.new("RGB", (1, 1), (1, 2, 3)), "PNG"),
    "animated.gif": lambda: encoded(RED, "GIF", save_all=True, append_images=[Image.new("RGB", (40, 30))]),
}
UNREADABLE: dict[str, Callable[[], bytes]] = {
    "truncated.jpg": lambda: encoded(Image.fromarray(PIXELS), "JPEG")[:-300],
    "empty.png": lambda: b"",
    "text.jpg": lambda: b"<html>404 Not Found</html>",
    "damaged.png": damaged_png,
    "huge.png": lambda: encoded(Image.new("1", (20_000, 20_000)), "PNG"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A thousand images in class folders: 987 sound ones, 7 odd ones, 6 that cannot be read."""
    root = tmp_path_factory.mktemp("images")
    sound = encoded(Image.fromarray(PIXELS), "PNG")
    for index in range(987):
        path = root / f"class_{index % 3}" / f"{index:04d}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(sound)
    for name, content in {**CONVERTED, **UNREADABLE}.items():
        (root / "class_1" / name).write_bytes(content())
    (root / "class_2" / "gone.jpg").symlink_to(root / "nowhere.jpg")
    (root / "class_2" / "notes.txt").write_text("no image, not asked for")
    return root


@pytest.fixture(scope="module")
def unreadable(folder: Path) -> set[str]:
    return {str(folder / "class_1" / name) for name in UNREADABLE} | {str(folder / "class_2" / "gone.jpg")}


@pytest.mark.parametrize("name", CONVERTED)
def test_an_odd_image_is_converted(name: str, folder: Path) -> None:
    image = read_rgb(folder / "class_1" / name)

    assert image.mode == "RGB"
    assert image.size == {"one_pixel.png": (1, 1), "rotated.jpg": (30, 40)}.get(name, (40, 30))
    centre = np.array(image)[image.height // 2, image.width // 2].astype(int)
    if name == "sixteen_bit.png":
        assert (centre == 40_000 // 256).all()
    elif name in ("cmyk.jpg", "palette.png", "animated.gif"):
        assert np.abs(centre - [200, 30, 30]).max() < 30


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_broken_image_is_refused_with_a_reason(name: str, folder: Path) -> None:
    with pytest.raises(UnreadableImage, match=r"\w"):
        read_rgb(folder / "class_1" / name)


def test_check_data_lists_exactly_the_unreadable_ones(folder: Path, unreadable: set[str]) -> None:
    assert {name for name, _ in unreadable_images(open_images(folder), processes=2)} == unreadable
    command = [sys.executable, "-m", "crossmae", "check-data", str(folder)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)

    assert {line.split(": ")[0] for line in result.stdout.splitlines()} == unreadable
    assert result.returncode == 1
    assert "6 of 1000 images cannot be read" in result.stderr.splitlines()[-1]


def test_a_run_replaces_them_and_its_log_names_exactly_those(
    folder: Path, unreadable: set[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recipe = load_recipe(GOLDEN, "tiny", ["global_batch=100", "steps=10", "per_device_batch=100"])
    pretrain(recipe, folder, tmp_path, seed=0, progress=lambda *_: None, device="cpu")

    logged = [m for m in caplog.messages if "cannot be read" in m]
    assert {message.split(" cannot be read")[0] for message in logged} == unreadable
    assert len(logged) == 6
    assert set((tmp_path / "unreadable.txt").read_text().splitlines()) == unreadable


def test_too_many_unreadable_images_stop_the_run(folder: Path, tmp_path: Path) -> None:
    recipe = load_recipe(GOLDEN, "tiny", ["global_batch=100", "steps=10", "most_unreadable=3"])

    with pytest.raises(UserError, match="more than 3 images cannot be read"):
        pretrain(recipe, folder, tmp_path, seed=0, progress=lambda *_: None, device="cpu")
    assert len((tmp_path / "unreadable.txt").read_text().splitlines()) == 4
