"""A run on several devices: torchrun inside the first process of each node, one process per device."""

import ipaddress
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from crossmae.errors import UserError
from crossmae.files import read_regular, write_json
from crossmae.parsing import Strict, parse_json
from crossmae.run.lock import TOKEN_VARIABLE
from crossmae.run.stop import EXIT_RESUME, Stopped, leaving_at_once
from transfer.harness.worker.process_tree import SAVE_VARIABLE

JOB_VARIABLE = "TRANSFER_JOB"
"""Environment variable that identifies one start of a job."""
NODES_VARIABLE = "TRANSFER_NODES"
"""Environment variable with the number of nodes of a run."""
NODE_VARIABLE = "TRANSFER_NODE"
"""Environment variable with this node's number, from 0."""

LOOPBACK_VARIABLE = "TRANSFER_LOOPBACK"
"""Environment variable (``1``) that allows several nodes on one machine, as a cluster for tests has them."""

_PATIENCE = 300.0
_LOOK_EVERY = 0.5
_SECONDS_TO_FAIL = 5.0
"""Seconds in which the other processes may end by themselves after one failed."""


@dataclass(frozen=True)
class Meeting(Strict):
    """Where the nodes of a run meet, as the first node wrote it down."""

    job: str
    endpoint: str
    token: str


def node() -> int:
    """This node's number among the run's nodes."""
    return int(os.environ.get(NODE_VARIABLE, "0"))


def nodes() -> int:
    """Number of nodes of this run."""
    return int(os.environ.get(NODES_VARIABLE, "1"))


def call_meeting(folder: Path) -> None:
    """On the first node, holding the lock: writes down where the others find it."""
    with socket.socket() as free:
        free.bind(("", 0))
        port = free.getsockname()[1]
    content = {"job": os.environ[JOB_VARIABLE], "endpoint": f"{_address()}:{port}", "token": os.environ[TOKEN_VARIABLE]}
    write_json(content, folder / "meeting.json")


def join_meeting(folder: Path) -> None:
    """On a further node: waits for the first node of the same job, and takes its token of the folder's lock.

    Raises:
        UserError: the first node did not come.
    """
    deadline = time.monotonic() + _PATIENCE
    while (meeting := _meeting(folder)) is None or meeting.job != os.environ[JOB_VARIABLE]:
        if time.monotonic() > deadline:
            raise UserError(f"the first node of {folder} did not come within {_PATIENCE:.0f} seconds")
        time.sleep(0.2)
    os.environ[TOKEN_VARIABLE] = meeting.token


def run_ranks(folder: Path, devices: int) -> int:
    """Runs the worker once per device of this node.

    Returns 0, ``EXIT_RESUME`` if this process was asked to end and passed it to them, or 1 if one of them failed.
    torchrun itself exits with 1 when workers exit with ``EXIT_RESUME``.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.elastic.rendezvous.api import RendezvousError
    from torch.distributed.run import main

    os.environ["PYTHONSAFEPATH"] = "1"  # as -P for the first process
    options = [f"--nproc-per-node={devices // nodes()}", f"--shutdown-timeout={_seconds_to_save()}"]
    try:
        # torchrun itself would die of the signal that Slurm sends to every process of a job.
        with _ending_those_that_wait(folder), leaving_at_once():
            main([*_rendezvous(folder), *options, "-m", "transfer.harness.worker", str(folder)])
    except (SignalException, Stopped):
        return EXIT_RESUME
    except (ChildFailedError, RendezvousError):
        return 1
    return 0


@contextmanager
def _ending_those_that_wait(folder: Path) -> Iterator[None]:
    """Kills this node's processes some seconds after one of the run failed.

    They may wait for it in a reduction of NCCL, where no signal reaches Python, and torchrun would give them as long as
    a state takes to be saved. They cannot save one without it.
    """
    over = threading.Event()

    def watch() -> None:
        while not any(_failed(path) for path in folder.glob("outcome-*.json")):
            if over.wait(_LOOK_EVERY):
                return
        if not over.wait(_SECONDS_TO_FAIL):
            for process in psutil.Process().children(recursive=True):
                with suppress(psutil.Error):
                    process.kill()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def _failed(path: Path) -> bool:
    try:
        return json.loads(read_regular(path))["exit_code"] not in (0, EXIT_RESUME)
    except (OSError, ValueError, TypeError, KeyError):
        return False


def _rendezvous(folder: Path) -> list[str]:
    if nodes() == 1:
        return ["--standalone"]
    meeting = _meeting(folder)
    assert meeting is not None
    return [
        f"--nnodes={nodes()}",
        "--rdzv-backend=c10d",
        f"--rdzv-endpoint={meeting.endpoint}",
        f"--rdzv-id={meeting.job}",
        # Stated, not guessed from host names: the nodes of a test cluster share one.
        f"--rdzv-conf=is_host={int(node() == 0)}",
        f"--local-addr={_address()}",
    ]


def _seconds_to_save() -> int:
    """How long torchrun waits for its processes to save before it kills them: its own 30 seconds are too few."""
    return int(os.environ.get(SAVE_VARIABLE, "300"))


def _meeting(folder: Path) -> Meeting | None:
    try:
        return parse_json(Meeting, read_regular(folder / "meeting.json"), "meeting.json")
    except (OSError, UserError):
        return None


def _address() -> str:
    """This node's address for the other nodes.

    Raises:
        UserError: its name stands for no address that another machine could reach.
    """
    name = socket.gethostname()
    try:
        address = socket.gethostbyname(name)
    except OSError:
        address = "127.0.0.1"
    if ipaddress.ip_address(address).is_loopback and os.environ.get(LOOPBACK_VARIABLE) != "1":
        raise UserError(
            f"the name of this node, {name}, stands for {address}, which other nodes cannot reach",
            "give the node its network address in /etc/hosts or DNS, "
            f"or set {LOOPBACK_VARIABLE}=1 if all nodes are this machine",
        )
    return address
