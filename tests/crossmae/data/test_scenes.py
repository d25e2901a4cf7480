"""Demo scenes: the same everywhere, labelled correctly, validation kept apart."""

import hashlib
from itertools import islice

import numpy as np
import pytest

from crossmae.data.demo import cutouts
from crossmae.data.demo.scenes import Scene, SceneSource
from crossmae.data.demo.write import write_unlabelled

SAMPLE_HASH = "b39fe85b7dfa2b55"


def _draw(name: str = "test", split: str = "train", count: int = 40, **options: object) -> list[Scene]:
    return list(SceneSource(0).draw(name, split, count, **options))  # type: ignore[arg-type]


def test_sample_has_the_committed_hash() -> None:
    digest = hashlib.sha256()
    for split in ("train", "val", "unlabelled"):
        for scene in _draw(split=split, objects=(1, 4), scale=(0.3, 0.9), crowds=0.3):
            digest.update(scene.image.tobytes() + bytes([scene.background]))
            for thing in scene.objects:
                digest.update(thing.mask.tobytes() + bytes([thing.label, thing.crowd]))
    assert digest.hexdigest()[:16] == SAMPLE_HASH


@pytest.mark.parametrize("other", [{"name": "another"}, {"split": "val"}, {"split": "unlabelled"}])
def test_names_and_splits_share_no_scenes(other: dict[str, str]) -> None:
    images = {scene.image.tobytes() for scene in _draw()}
    assert not images & {scene.image.tobytes() for scene in _draw(**other)}  # type: ignore[arg-type]


def test_scene_does_not_depend_on_how_many_are_drawn() -> None:
    assert all(np.array_equal(a.image, b.image) for a, b in zip(_draw(count=5), _draw(count=9), strict=False))


def test_objects_are_visible_boxed_and_apart() -> None:
    for scene in _draw(objects=(1, 4), scale=(0.3, 0.6), crowds=0.3):
        assert scene.objects
        assert np.sum([thing.mask for thing in scene.objects], axis=0).max() == 1
        for thing in scene.objects:
            rows, columns = np.nonzero(thing.mask)
            assert thing.box == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
            assert thing.mask.sum() > 10


def test_arguments_are_respected() -> None:
    scenes = _draw(count=200, classes=(3, 8), class_weights=(1, 9), objects=(1, 1), backgrounds=(0, 5))
    labels = [thing.label for scene in scenes for thing in scene.objects]
    assert set(labels) == {3, 8}
    assert 0.8 < labels.count(8) / len(labels) < 0.98
    assert {scene.background for scene in scenes} == {0, 5}
    assert {len(scene.objects) for scene in scenes} == {1}


def test_crowds_come_first_and_only_when_asked_for() -> None:
    crowded = [[thing.crowd for thing in scene.objects] for scene in _draw(crowds=0.5)]
    assert 10 < sum(flags[0] for flags in crowded) < 30
    assert not any(any(flags[1:]) for flags in crowded)
    assert not any(thing.crowd for scene in _draw() for thing in scene.objects)


def test_validation_pictures_are_not_in_training() -> None:
    train = {piece.tobytes() for piece in cutouts.cutouts("train").reshape(-1, 28 * 28)}
    assert not train & {piece.tobytes() for piece in cutouts.cutouts("val").reshape(-1, 28 * 28)}
    for ours, theirs in zip(cutouts.backgrounds("train"), cutouts.backgrounds("val"), strict=True):
        seen = {row.tobytes() for window in _windows(ours) for row in window}
        assert not any(row.tobytes() in seen for window in _windows(theirs) for row in window if row.std() > 3)


def _windows(photo: np.ndarray) -> list[np.ndarray]:
    return list(np.lib.stride_tricks.sliding_window_view(photo, (1, 32, 3))[:, ::4, 0].reshape(photo.shape[0], -1, 96))


def test_unlabelled_folder_is_written_whole_or_not_at_all(tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    drawn = SceneSource.draw
    monkeypatch.setattr(SceneSource, "draw", lambda *args, **options: islice(drawn(*args, **options), 2))
    with pytest.raises(StopIteration):
        write_unlabelled(tmp_path / "pretrain", count=10)
    assert not list(tmp_path.iterdir())
    monkeypatch.undo()
    write_unlabelled(tmp_path / "pretrain", count=10)
    assert [path.name for path in tmp_path.iterdir()] == ["pretrain"]
    assert len(list((tmp_path / "pretrain").glob("*.png"))) == 10
