"""Training samples as a function of seed, epoch and index alone."""

from typing import Any

import numpy as np
import torch
from detectron2.data import DatasetFromList, DatasetMapper

from crossmae.data.keyed import SampleKey
from crossmae.train.batches import MicroBatches, SampleStream
from crossmae.train.config import Split


class KeyedSamples(torch.utils.data.Dataset[dict[str, Any]]):
    """Images mapped by detectron2's mapper, whose random numbers are keyed by (seed, epoch, index)."""

    def __init__(self, dicts: list[dict[str, Any]], mapper: DatasetMapper, seed: int) -> None:
        # Serialised once, so that workers share the memory of COCO's annotations.
        self.dicts = DatasetFromList(dicts)
        self.mapper = mapper
        self.seed = seed

    def __len__(self) -> int:
        return len(self.dicts)

    def __getitem__(self, key: SampleKey) -> dict[str, Any]:
        transforms, sampling = np.random.SeedSequence([self.seed, *key]).generate_state(2)
        np.random.seed(transforms)  # noqa: NPY002 - detectron2's transforms draw from this generator
        return {**self.mapper(self.dicts[key.index]), "sampling_seed": int(sampling)}


def train_loader(
    samples: KeyedSamples, batch: int, split: Split, rank: int, steps: tuple[int, int], workers: int
) -> torch.utils.data.DataLoader[dict[str, Any]]:
    """Micro-batches (lists of samples) of one process for the updates ``steps[0]`` to ``steps[1]``."""
    stream = SampleStream(len(samples), batch, samples.seed)
    return torch.utils.data.DataLoader(
        samples,
        batch_sampler=MicroBatches(stream, split, rank, *steps),
        num_workers=workers,
        collate_fn=list,
        persistent_workers=workers > 0,
    )
