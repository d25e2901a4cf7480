"""The stream of training samples depends on seed and iteration alone."""

from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import torch
from detectron2.config import instantiate

from crossmae.data.keyed import SampleKey
from crossmae.recipe import Recipe
from crossmae.train.config import split_batch
from detection.build.loader import loader_config
from detection.data.register import read_dicts, register
from detection.data.samples import KeyedSamples, train_loader
from detection.recipe import read_recipe


@pytest.fixture(scope="module")
def samples(coco: Path, short_recipe: Callable[..., Recipe]) -> KeyedSamples:
    protocol = read_recipe(short_recipe()).protocol
    config = loader_config(protocol, (register(coco, "train"), register(coco, "val")), workers=0)
    return KeyedSamples(read_dicts(coco, "train", 4), instantiate(config.train.mapper), seed=0)


def stream(
    samples: KeyedSamples, start: int = 0, size: int = 1, per_device: int = 8, workers: int = 0
) -> list[list[Any]]:
    """The images of every iteration, over all processes and micro-batches, in order."""
    split = split_batch(8, size, per_device)
    ranks = [list(train_loader(samples, 8, split, rank, (start, 9), workers)) for rank in range(size)]
    micro = [batch for step in zip(*ranks, strict=True) for batch in step]
    per_step = size * split.accumulation
    return [list(chain(*micro[i : i + per_step])) for i in range(0, len(micro), per_step)]


def same(ours: list[list[Any]], theirs: list[list[Any]]) -> bool:
    pairs = [pair for steps in zip(ours, theirs, strict=True) for pair in zip(*steps, strict=True)]
    return all(
        torch.equal(a["image"], b["image"])
        and torch.equal(a["instances"].gt_boxes.tensor, b["instances"].gt_boxes.tensor)
        and a["sampling_seed"] == b["sampling_seed"]
        for a, b in pairs
    )


def test_a_resumed_stream_continues_where_it_stopped(samples: KeyedSamples) -> None:
    assert same(stream(samples)[5:], stream(samples, start=5))


def test_processes_micro_batches_and_workers_see_the_same_images(samples: KeyedSamples) -> None:
    alone = stream(samples)
    assert same(alone, stream(samples, size=2, per_device=2))
    assert same(alone, stream(samples, workers=2))


def test_an_image_looks_different_in_the_next_epoch_and_under_another_seed(samples: KeyedSamples) -> None:
    first, again = samples[SampleKey(0, 3)]["image"], samples[SampleKey(1, 3)]["image"]
    other = KeyedSamples(list(samples.dicts), samples.mapper, seed=1)[SampleKey(0, 3)]["image"]
    assert not torch.equal(first, again)
    assert not torch.equal(first, other)


def test_crowds_are_not_trained_on(samples: KeyedSamples) -> None:
    crowded = [i for i, image in enumerate(samples.dicts) if any(thing["iscrowd"] for thing in image["annotations"])]
    assert crowded
    for index in crowded:
        objects = [thing for thing in samples.dicts[index]["annotations"] if not thing["iscrowd"]]
        assert len(samples[SampleKey(0, index)]["instances"]) <= len(objects)
