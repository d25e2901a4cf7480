"""The stream of training samples: every epoch whole, shuffled, and the same however it is dealt out."""

from itertools import islice
from pathlib import Path

import pytest
import torch
from mmengine.registry import DATASETS, init_default_scope

import segmentation.build.prepare  # noqa: F401 (fills the registries)
from segmentation.data import samples as stream
from segmentation.data.samples import SampleStream, StreamSampler


@pytest.fixture
def samples(data_root: Path) -> SampleStream:
    init_default_scope("mmseg")
    pipeline = [
        {"type": "LoadImageFromFile"},
        {"type": "LoadAnnotations", "reduce_zero_label": True},
        {"type": "RandomCrop", "crop_size": (32, 32)},
        {"type": "PhotoMetricDistortion"},
        {"type": "PackSegInputs"},
    ]
    folders = {"img_path": "images/training", "seg_map_path": "annotations/training"}
    dataset = {
        "type": "BaseSegDataset",
        "data_root": str(data_root),
        "data_prefix": folders,
        "img_suffix": ".png",
        "pipeline": pipeline,
        "metainfo": {"classes": tuple("abcde")},
        "reduce_zero_label": True,
    }
    built: SampleStream = DATASETS.build({"type": "SampleStream", "dataset": dataset, "seed": 0})
    return built


def names(samples: SampleStream, positions: list[int]) -> list[str]:
    return [Path(samples[position]["data_samples"].img_path).stem for position in positions]


def test_every_epoch_holds_every_image_once_in_another_order(samples: SampleStream) -> None:
    first, second = names(samples, list(range(12))), names(samples, list(range(12, 24)))
    assert sorted(first) == sorted(second) == [f"ADE_train_{i:08d}" for i in range(1, 13)]
    assert first != second
    assert first != sorted(first)


def test_a_position_is_the_same_sample_whenever_it_is_fetched(samples: SampleStream) -> None:
    once = samples[17]["inputs"]
    samples[3], torch.rand(5)
    assert (samples[17]["inputs"] == once).all()


def test_another_epoch_crops_differently(samples: SampleStream) -> None:
    place = names(samples, list(range(12, 24))).index(names(samples, [0])[0])
    assert not (samples[0]["inputs"] == samples[12 + place]["inputs"]).all()


def test_processes_share_the_stream(samples: SampleStream, monkeypatch: pytest.MonkeyPatch) -> None:
    dealt = []
    for rank in range(4):
        monkeypatch.setattr(stream, "get_dist_info", lambda rank=rank: (rank, 4))
        dealt += list(islice(StreamSampler(samples), 4))
    assert sorted(dealt) == list(range(16))


def test_skipping_goes_on_where_a_process_stopped(samples: SampleStream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "get_dist_info", lambda: (1, 4))
    whole, resumed = StreamSampler(samples), StreamSampler(samples)
    resumed.skip(5)
    assert list(islice(resumed, 3)) == list(islice(whole, 8))[5:]
