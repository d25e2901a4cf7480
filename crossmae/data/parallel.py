"""Work on all cores that leaves no process behind, however the command ends."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

from rich.console import Console
from rich.progress import track

Result = TypeVar("Result")


class _Tasks(Generic[Result]):
    def __init__(self, work: Callable[[int], Result], numbers: list[int]) -> None:
        self.work, self.numbers = work, numbers

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, place: int) -> Result:
        return self.work(self.numbers[place])


def on_all_cores(
    work: Callable[[int], Result], numbers: list[int], description: str, processes: int | None = None
) -> Iterator[Result]:
    """``work(number)`` for all ``numbers``, in order, in forked processes, with a progress bar on stderr.

    The processes are a data loader's: they take ``work`` with them as it is, and are killed when this process ends,
    even where a read never returns.

    Args:
        processes: None for one per core; 0 works in this process.
    """
    from torch.utils.data import DataLoader

    workers = os.cpu_count() or 1 if processes is None else processes
    tasks: Any = _Tasks(work, numbers)
    loader: DataLoader[Any] = DataLoader(
        tasks, batch_size=None, num_workers=min(workers, len(numbers)), worker_init_fn=_live_with_parent
    )
    # On stderr: what a command lists may be piped.
    yield from track(loader, description=description, total=len(numbers), console=Console(stderr=True))


def _live_with_parent(_: int) -> None:
    if sys.platform == "linux":
        from torch.multiprocessing import _prctl_pr_set_pdeathsig  # type: ignore[attr-defined]

        _prctl_pr_set_pdeathsig(signal.SIGKILL)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
