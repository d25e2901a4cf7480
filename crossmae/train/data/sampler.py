"""Which samples each update sees, as a function of the update's number alone."""

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from crossmae.data.keyed import SampleKey, permutation
from crossmae.train.config import Split


class SampleStream:
    """The epochs' permutations one after the other, cut into global batches.

    An epoch's last samples that do not fill a batch open the batch that the next epoch's first samples complete.
    """

    def __init__(self, samples: int, batch: int, seed: int) -> None:
        self.samples = samples
        self.batch = batch
        self._order = lru_cache(maxsize=2)(lambda epoch: permutation(seed, epoch, samples))

    def keys(self, step: int) -> list[SampleKey]:
        """The samples of update ``step``, whatever the number of processes."""
        start = step * self.batch
        return [self._at(position) for position in range(start, start + self.batch)]

    def _at(self, position: int) -> SampleKey:
        epoch, offset = divmod(position, self.samples)
        order: NDArray[np.int64] = self._order(epoch)
        return SampleKey(epoch, int(order[offset]))

    def epochs(self, step: int) -> int:
        """Epochs that are complete after ``step`` updates."""
        return step * self.batch // self.samples


def micro_keys(keys: list[SampleKey], split: Split, rank: int, index: int) -> list[SampleKey]:
    """The samples of ``rank``'s micro-batch ``index`` among an update's ``keys``.

    Micro-batches lie in the order (index, rank), so that the mean over processes and accumulation is over all of them.
    """
    start = (index * split.processes + rank) * split.micro_batch
    return keys[start : start + split.micro_batch]


class MicroBatches:
    """The keys of one process's micro-batches, from update ``start`` on: the batch sampler of its data loader."""

    def __init__(self, stream: SampleStream, split: Split, rank: int, start: int, stop: int) -> None:
        self.stream, self.split, self.rank = stream, split, rank
        self.start, self.stop = start, stop

    def __len__(self) -> int:
        return (self.stop - self.start) * self.split.accumulation

    def __iter__(self) -> Iterator[list[SampleKey]]:
        for step in range(self.start, self.stop):
            keys = self.stream.keys(step)
            for index in range(self.split.accumulation):
                yield micro_keys(keys, self.split, self.rank, index)
