"""Which samples each update sees, as a function of the update's number alone, and how they reach the device."""

import os
import signal
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils._pytree import tree_leaves
from torch.utils.data import DataLoader

from crossmae.data.keyed import SampleKey, permutation
from crossmae.errors import UserError
from crossmae.run.stop import SIGNALS
from crossmae.train.config import Split
from crossmae.train.workload import KeyedDataset, Workload

_AHEAD = 2
"""Batches that each worker loads ahead."""


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


def bytes_in_flight(workload: Workload, dataset: KeyedDataset, keys: MicroBatches, workers: int) -> int:
    """Bytes of shared memory that the micro-batches of one process take at once, judged by one sample."""
    first = next(iter(keys), None)
    if not workers or first is None:
        return 0
    many = getattr(dataset, "__getitems__", None)
    samples = many(first[:1]) if many else [dataset[first[0]]]
    leaves = tree_leaves(workload.collate(samples))
    sample = sum(leaf.nbytes for leaf in leaves if isinstance(leaf, Tensor))
    return workers * _AHEAD * keys.split.micro_batch * sample


def require_shared_memory(needed: int, folder: Path = Path("/dev/shm")) -> None:
    """Refuses to start loaders that would be killed by a bus error in the middle of training.

    Args:
        needed: bytes that all processes of the run on this machine take together.

    Raises:
        UserError: ``folder`` has less room.
    """
    if not folder.is_dir():
        return
    room = os.statvfs(folder)
    free = room.f_bavail * room.f_frsize
    if needed > free:
        raise UserError(
            f"the batches that are loaded ahead take {needed / 2**30:.1f} GiB of {folder}, which has "
            f"{free / 2**30:.1f} GiB free",
            "lower workers or per_device_batch, or enlarge it (--shm-size of a container)",
        )


def micro_batches(
    workload: Workload, dataset: KeyedDataset, keys: MicroBatches, workers: int, pin: bool
) -> Iterator[Any]:
    """The collated micro-batches in order, loaded ahead by ``workers`` processes that last for the whole run."""
    loader: DataLoader[Any] = DataLoader(
        dataset,  # type: ignore[arg-type]  # a map-style data set whose keys are SampleKeys
        batch_sampler=keys,
        collate_fn=workload.collate,
        num_workers=workers,
        prefetch_factor=_AHEAD if workers else None,
        pin_memory=pin,
        worker_init_fn=_ignore_signals,
        # The base seed would otherwise be drawn from the global generator.
        generator=torch.Generator().manual_seed(0),
    )
    return iter(loader)


def place_batches(batches: Iterator[Any], device: torch.device, prepare: Callable[[Any], Any]) -> Iterator[Any]:
    """The batches, placed on ``device`` and prepared; a GPU does that to the next one during the current step."""
    if device.type != "cuda":
        yield from (prepare(to_device(batch, device)) for batch in batches)
        return
    stream = torch.cuda.Stream(device)
    ahead: tuple[Any, torch.cuda.Event] | None = None
    for batch in batches:
        with torch.cuda.stream(stream):
            placed = prepare(to_device(batch, device)), stream.record_event()
        if ahead is not None:
            yield _hand_over(*ahead, device)
        ahead = placed
    if ahead is not None:
        yield _hand_over(*ahead, device)


def _hand_over(batch: Any, ready: torch.cuda.Event, device: torch.device) -> Any:
    computing = torch.cuda.current_stream(device)
    computing.wait_event(ready)
    for value in batch.values() if isinstance(batch, dict) else batch:
        if isinstance(value, Tensor):
            # Its memory is the other stream's, which must not use it again before this one has read it.
            value.record_stream(computing)
    return batch


def to_device(batch: Any, device: torch.device) -> Any:
    """Every tensor of a nested batch on ``device``."""
    if isinstance(batch, Tensor):
        return batch.to(device, non_blocking=True)
    if isinstance(batch, dict):
        return {name: to_device(value, device) for name, value in batch.items()}
    if isinstance(batch, list | tuple):
        return type(batch)(to_device(value, device) for value in batch)
    return batch


def _ignore_signals(_: int) -> None:
    # A signal to the whole process group must not take the workers away from a trainer that is finishing its step.
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
