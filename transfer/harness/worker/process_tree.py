"""Process trees: that they die with who started them, and that all of a tree can be ended.

A tree is recognised by an environment variable that all its processes inherit: process groups do not do, since
torchrun gives each of its workers a session of its own.
"""

import ctypes
import os
import signal
import sys
import time
from pathlib import Path

import psutil

RUN_VARIABLE = "TRANSFER_RUN"
"""Environment variable that names a run's folder in all of its processes."""
PARENT_VARIABLE = "TRANSFER_PARENT"
"""Environment variable with the id of the process that a run must not outlive."""
SAVE_VARIABLE = "TRANSFER_SECONDS_TO_SAVE"
"""Environment variable with the seconds that a run may take to save its state when it is asked to end."""

_PR_SET_PDEATHSIG = 1


def worker_command(folder: Path) -> list[str]:
    """Starts the run in ``folder``."""
    # -P: a package of the user's working folder that is called like one of ours stays out of the way.
    return [sys.executable, "-P", "-m", "transfer.harness.worker", str(folder)]


def die_with_parent() -> None:
    """Has the kernel send this process SIGTERM, which saves and ends a run, when its parent is gone."""
    if sys.platform != "linux":
        return
    parent = os.environ.pop(PARENT_VARIABLE, None)
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if parent is not None and os.getppid() != int(parent):
        sys.exit("the process that started this run is gone")


def processes_of(folder: Path) -> list[int]:
    """Ids of all of this machine's processes that belong to the run in ``folder``."""
    wanted = str(folder.resolve())
    others = (process for process in psutil.process_iter() if process.pid != os.getpid())
    return [process.pid for process in others if _run_of(process) == wanted]


def parent_of(pid: int) -> int:
    """Id of the process that started ``pid``; 0 if ``pid`` is gone."""
    try:
        return psutil.Process(pid).ppid()
    except psutil.Error:
        return 0


def ask_to_end(folder: Path) -> None:
    """Asks a run to save its state and end."""
    _send(_roots(processes_of(folder)), signal.SIGTERM)


def kill_tree(folder: Path) -> None:
    """Ends all processes of a run at once."""
    _send(processes_of(folder), signal.SIGKILL)


def end_tree(folder: Path, patience: float) -> None:
    """Asks a run to end, kills what lives on after ``patience`` seconds, and returns when nothing is left."""
    deadline = time.monotonic() + patience
    ask_to_end(folder)
    while processes_of(folder):
        if time.monotonic() >= deadline:
            kill_tree(folder)
        time.sleep(0.1)


def _roots(pids: list[int]) -> list[int]:
    """Those whose parent is not among them: a loader's workers must live on while a state is saved."""
    return [pid for pid in pids if parent_of(pid) not in pids]


def _send(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def _run_of(process: psutil.Process) -> str | None:
    """The run folder that a process belongs to; None also for a process that is gone or somebody else's."""
    try:
        return process.environ().get(RUN_VARIABLE)
    except (psutil.Error, OSError):
        return None
