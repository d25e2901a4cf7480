"""The training samples as one endless stream that the seed fixes: order, augmentation and all.

mmengine draws augmentation from the worker's own random state, so a resumed run, or one on another number of processes,
trains on other crops. Here position ``p`` of the stream is the same sample wherever and whenever it is fetched.
"""

from collections.abc import Iterator, Sized
from functools import lru_cache
from itertools import count
from typing import Any

import numpy as np
from mmengine.dist import get_dist_info
from mmengine.registry import DATA_SAMPLERS, DATASETS
from numpy.typing import NDArray
from torch.utils.data import Dataset, Sampler

from crossmae.data.keyed import permutation, seed_libraries


@DATASETS.register_module()
class SampleStream(Dataset[dict[str, Any]]):
    """Wraps a training data set; indexed by position in the endless stream of its shuffled epochs."""

    def __init__(self, dataset: dict[str, Any], seed: int) -> None:
        self.dataset = DATASETS.build(dataset)
        self.metainfo = self.dataset.metainfo
        self.seed = seed

    def full_init(self) -> None:
        """Loads the list of samples (called by mmengine)."""
        self.dataset.full_init()

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, position: int) -> dict[str, Any]:
        epoch, place = divmod(position, len(self.dataset))
        index = int(_order(self.seed, epoch, len(self.dataset))[place])
        seed_libraries(self.seed, epoch, index)
        return self.dataset[index]


@DATA_SAMPLERS.register_module()
class StreamSampler(Sampler[int]):
    """Deals the stream's positions to the processes in turn, so that together they always train on the same batch."""

    def __init__(self, dataset: Sized, **_: Any) -> None:
        self.size = len(dataset)
        self.rank, self.world_size = get_dist_info()
        self.skipped = 0

    def skip(self, num_samples: int) -> None:
        """Starts after ``num_samples`` samples of this process (mmengine's loop calls it when it resumes)."""
        self.skipped = num_samples

    def __len__(self) -> int:
        return self.size // self.world_size

    def __iter__(self) -> Iterator[int]:
        return count(self.rank + self.skipped * self.world_size, self.world_size)


@lru_cache(maxsize=2)
def _order(seed: int, epoch: int, size: int) -> NDArray[np.int64]:
    return permutation(seed, epoch, size)
