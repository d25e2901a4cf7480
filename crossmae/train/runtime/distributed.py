"""The processes of a run: torchrun's when it started this one, else this one alone."""

import ctypes
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous
from torch.nn.parallel import DistributedDataParallel

from crossmae.errors import UserError
from crossmae.run.lock import TOKEN_VARIABLE, hold_folder
from crossmae.run.rank import local_rank, under_torchrun
from crossmae.run.stop import Stopped

_SECONDS_TO_LEAVE = 5.0

# mallopt's parameters, malloc.h of glibc.
_TRIM_THRESHOLD = -1
_MMAP_THRESHOLD = -3


@dataclass(frozen=True)
class World:
    """This process's place among the processes of the run."""

    rank: int
    size: int
    device: torch.device
    _wrapped: list[DistributedDataParallel] = field(default_factory=list, repr=False, compare=False)

    @property
    def is_main(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    def sum_(self, tensor: Tensor) -> Tensor:
        """Adds up ``tensor`` over the processes, in place."""
        if self.size > 1:
            dist.all_reduce(tensor)
        return tensor

    def share(self, value: Any) -> Any:
        """The main process's ``value`` on every process."""
        box = [value]
        if self.size > 1:
            dist.broadcast_object_list(box, src=0)
        return box[0]

    def gather(self, value: Any) -> list[Any]:
        """Every process's ``value``, by rank, on every process."""
        values: list[Any] = [None] * self.size
        if self.size == 1:
            return [value]
        dist.all_gather_object(values, value)
        return values

    def wrap(self, model: nn.Module, broadcast_buffers: bool = True) -> nn.Module:
        """The model as the processes train it together, until the block of ``join_world`` ends.

        Args:
            broadcast_buffers: whether every forward pass takes over the main process's buffers.
        """
        if self.size == 1:
            return model
        devices = [self.device] if self.device.type == "cuda" else None
        net = DistributedDataParallel(
            model, device_ids=devices, broadcast_buffers=broadcast_buffers, gradient_as_bucket_view=True
        )
        self.adopt(net)
        return net

    def adopt(self, net: nn.Module) -> None:
        """Counts ``net`` among the wrapped models, if another engine wrapped it."""
        if isinstance(net, DistributedDataParallel):
            self._wrapped.append(net)

    def release(self) -> None:
        """Takes the process group from the wrapped models, which cannot be trained any more.

        Their C++ half would else be the group's last owner, and end its threads while it holds Python's global lock: a
        deadlock whenever one of them waits for that lock to free a tensor. Or the group outlives Python's interpreter,
        and one of its threads aborts the process over a tensor.
        """
        for net in self._wrapped:
            net.logger = None
            del net.reducer, net.process_group


@contextmanager
def join_world(device: str) -> Iterator[World]:
    """Joins the processes that torchrun started, for as long as the block lasts.

    On a CPU the process keeps the memory that it frees from then on, see ``keep_freed_memory``.

    Args:
        device: ``cpu``, ``cuda`` or ``auto``.

    Raises:
        UserError: ``cuda`` without a GPU for this process.
    """
    here = _device(device)
    if here.type == "cpu":
        keep_freed_memory()
    if not under_torchrun():
        yield World(0, 1, here)
        return
    joined_here = not dist.is_initialized()
    if joined_here:
        _connect("nccl" if here.type == "cuda" else "gloo")
    world = World(dist.get_rank(), dist.get_world_size(), here)
    together = False
    try:
        yield world
        together = True
    except Stopped:
        together = True
        raise
    finally:
        world.release()
        # NCCL's group is destroyed by all processes together. One that fails alone would wait here for the others,
        # which wait for it in a reduction: the run would hang and its reason would never be read. The group is left to
        # the end of the process, at which torchrun ends the others. Gloo's is each process's own.
        if joined_here and together:
            dist.destroy_process_group()
        elif joined_here and dist.get_backend() != "nccl":
            _leave_alone()


def _leave_alone() -> None:
    """Destroys the process group without the other processes; whatever waits for them is given up."""
    thread = threading.Thread(target=dist.destroy_process_group, daemon=True)
    thread.start()
    thread.join(_SECONDS_TO_LEAVE)


def _connect(backend: str) -> None:
    store, rank, size = next(rendezvous("env://"))
    # Restarted processes find the addresses of those they replace in torchrun's store: each try has its own keys.
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    dist.init_process_group(backend, store=PrefixStore(f"attempt-{attempt}", store), rank=rank, world_size=size)


@contextmanager
def share_lock(world: World, folder: Path) -> Iterator[None]:
    """Lets the other processes take part in the main one's lock on ``folder``, if it holds one."""
    token = world.share(os.environ.get(TOKEN_VARIABLE))
    if token is None or TOKEN_VARIABLE in os.environ:
        yield
        return
    os.environ[TOKEN_VARIABLE] = token
    try:
        with hold_folder(folder):
            yield
    finally:
        del os.environ[TOKEN_VARIABLE]


def _device(name: str) -> torch.device:
    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    index = local_rank()
    if not torch.cuda.is_available() or index >= torch.cuda.device_count():
        raise UserError(
            f"no GPU number {index} on this machine for device {name!r}", "use device cpu or fewer processes"
        )
    device = torch.device("cuda", index)
    torch.cuda.set_device(device)
    return device


def keep_freed_memory() -> None:
    """Has glibc keep what a step frees for the next one instead of handing it back to the system.

    Every step needs the same memory again, and a page that is new to the process costs more than the arithmetic on it:
    measured 15 to 25 % of a small step of any of the engines. Nothing happens with another C library.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(_MMAP_THRESHOLD, 2**30)
