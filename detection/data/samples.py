"""Training samples as a function of seed, epoch and index alone."""

import copy
from typing import Any

import torch
from detectron2.data import DatasetFromList, DatasetMapper

from crossmae.data.keyed import SampleKey, seed_libraries
from crossmae.train.plan import Split
from crossmae.train.stream import MicroBatches, SampleStream


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
        with torch.random.fork_rng(devices=[]):
            seed_libraries(self.seed, key.epoch, key.index)
            sample: dict[str, Any] = self.mapper(copy.deepcopy(self.dicts[key.index]))
            sample["sampling_seed"] = int(torch.randint(2**62, ()))
        return sample


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
