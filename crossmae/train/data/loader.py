"""From a keyed data set to one process's stream of micro-batches on its device."""

import signal
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from crossmae.run.stop import SIGNALS
from crossmae.train.data.sampler import MicroBatches
from crossmae.train.workload import KeyedDataset, Workload


def micro_batches(
    workload: Workload, dataset: KeyedDataset, keys: MicroBatches, workers: int, pin: bool
) -> Iterator[Any]:
    """The collated micro-batches in order, loaded ahead by ``workers`` processes that last for the whole run."""
    loader: DataLoader[Any] = DataLoader(
        dataset,  # type: ignore[arg-type]  # a map-style data set whose keys are SampleKeys
        batch_sampler=keys,
        collate_fn=workload.collate,
        num_workers=workers,
        pin_memory=pin,
        worker_init_fn=_ignore_signals,
        # The base seed would otherwise be drawn from the global generator.
        generator=torch.Generator().manual_seed(0),
    )
    return iter(loader)


def on_device(batches: Iterator[Any], device: torch.device, prepare: Callable[[Any], Any]) -> Iterator[Any]:
    """The batches, placed on ``device`` and prepared; a GPU does that to the next one beside the current step."""
    if device.type != "cuda":
        yield from (prepare(to_device(batch, device)) for batch in batches)
        return
    stream = torch.cuda.Stream(device)
    ahead: tuple[Any, torch.cuda.Event] | None = None
    for batch in batches:
        with torch.cuda.stream(stream):
            placed = prepare(to_device(batch, device)), stream.record_event()
        if ahead is not None:
            yield _handed_over(*ahead, device)
        ahead = placed
    if ahead is not None:
        yield _handed_over(*ahead, device)


def _handed_over(batch: Any, ready: torch.cuda.Event, device: torch.device) -> Any:
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
