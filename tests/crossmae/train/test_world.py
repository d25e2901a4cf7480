"""How the processes of a run part."""

import socket
from collections.abc import Iterator

import pytest
import torch.distributed as dist

from crossmae.run.stop import Stopped
from crossmae.train.runtime.distributed import join_world


@pytest.fixture
def nccl(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A world of one process that calls itself NCCL's, whose destruction would wait for the other processes."""
    destroyed: list[str] = []
    destroy = dist.destroy_process_group
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    for name, value in {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(dist, "get_backend", lambda: "nccl")
    monkeypatch.setattr(dist, "destroy_process_group", lambda: destroyed.append("destroyed"))
    yield destroyed
    destroy()


def test_a_process_that_fails_alone_does_not_wait_for_the_others_to_part(nccl: list[str]) -> None:
    with pytest.raises(MemoryError), join_world("cpu"):
        raise MemoryError("out of memory on this rank")
    assert nccl == []


def test_processes_that_finish_or_stop_part_together(nccl: list[str]) -> None:
    with pytest.raises(Stopped), join_world("cpu"):
        raise Stopped
    assert nccl == ["destroyed"]
