"""The demo data is what the readers of the real formats find."""

from pathlib import Path

import numpy as np
import pytest

from crossmae.data.decode import read_rgb
from crossmae.data.demo.scenes import SceneSource
from tests.support.labelled_images import task
from transfer.datasets import demo
from transfer.datasets.layouts import READERS
from transfer.datasets.reader import Size


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, classes in (("IMAGENET_SIZE", 6), ("INAT_SIZE", 10), ("PLACES_SIZE", 8)):
        monkeypatch.setattr(demo, name, Size(classes, 120, 100))


@pytest.mark.parametrize("reader", READERS)
def test_demo_data_passes_the_check_of_the_real_format(reader: str, tmp_path: Path) -> None:
    task(reader).demo(tmp_path / reader, SceneSource(0))
    train, val = READERS[reader]().read_both(tmp_path / reader)
    assert (len(train), len(val)) == (120, 100)
    assert [str(problem) for problem in task(reader).check(tmp_path / reader)] == []
    assert len({read_rgb(train.root / file).tobytes() for file in (*train.files, *val.files)}) == 220


def test_labels_belong_to_their_pictures(tmp_path: Path) -> None:
    source = SceneSource(4)
    demo.write_places(tmp_path / "places365", source)
    images = READERS["places365"]().read(tmp_path / "places365", "val")
    scenes = source.draw("places365", "val", 100, **demo.PLACES_SCENES)
    by_file = dict(zip(images.files, images.labels.tolist(), strict=True))
    for number, scene in enumerate(scenes, start=1):
        file = f"val_256/Places365_val_{number:08d}.png"
        assert by_file[file] == scene.background
        assert np.array_equal(np.asarray(read_rgb(images.root / file)), scene.image)


def test_inat_has_a_long_tail_in_training_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "INAT_SIZE", Size(10, 400, 400))
    demo.write_inat(tmp_path / "inat19", SceneSource(0))
    train, val = READERS["inat19"]().read_both(tmp_path / "inat19")
    counts = np.bincount(train.labels, minlength=10)
    assert counts[:3].sum() > 3 * counts[-3:].sum()
    assert counts.min() > 0
    assert np.bincount(val.labels).min() > 20
