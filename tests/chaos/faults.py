"""What happens to a benchmark. Each returns whether there was something that it could happen to."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import psutil

from crossmae.train.checkpoint.state_file import states
from tests.chaos.house import House

Fault = Callable[[House, random.Random], bool]


def _to_controller(number: signal.Signals, times: int, house: House, dice: random.Random) -> bool:
    if house.controller is None or house.controller.poll() is not None:
        return False
    for _ in range(times):
        with suppress(ProcessLookupError):
            os.kill(house.controller.pid, number)
        time.sleep(dice.uniform(0, 0.5) if times > 1 else 0)
    with suppress(subprocess.TimeoutExpired):
        house.controller.wait(20)
    return True


def _to_group(number: signal.Signals, house: House, _: random.Random) -> bool:
    if house.controller is None or house.controller.poll() is not None:
        return False
    os.killpg(house.controller.pid, number)
    with suppress(subprocess.TimeoutExpired):
        house.controller.wait(20)
    return True


def _to_worker(number: signal.Signals, house: House, dice: random.Random) -> bool:
    if not (workers := house.workers()):
        return False
    with suppress(psutil.Error):
        dice.choice(workers).send_signal(number)
    return True


def _stopped(whom: str, house: House, dice: random.Random) -> bool:
    """Stands still for some seconds, as a suspended machine's processes do."""
    everybody = house.processes() if whom == "all" else house.workers()
    chosen = everybody if whom == "all" else everybody[:1]
    for number, wait in ((signal.SIGSTOP, dice.uniform(0.5, 3)), (signal.SIGCONT, 0.0)):
        for process in chosen:
            with suppress(psutil.Error):
                process.send_signal(number)
        time.sleep(wait)
    return bool(chosen)


def _starved(house: House, dice: random.Random) -> bool:
    """Other processes take the cores for some seconds."""
    count = 2 * (os.cpu_count() or 1)
    burning = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    time.sleep(dice.uniform(1, 3))
    for process in burning:
        process.kill()
        process.wait()
    return bool(house.processes())


def _second_controller(house: House, _: random.Random) -> bool:
    """Another terminal: it is refused as long as the first lives, or takes over."""
    if house.controller is None or house.controller.poll() is not None:
        return False
    second = house.start()
    try:
        second.wait(30)
    except subprocess.TimeoutExpired:  # the first ended meanwhile
        house.controller = second
    return True


def _resumed_twice(house: House, dice: random.Random) -> bool:
    """Stopped, started and stopped again before it has got anywhere."""
    for _ in range(2):
        house.keep_running()
        time.sleep(dice.uniform(0.1, 2))
        _to_controller(signal.SIGINT, 1, house, dice)
    return True


def _cut(pattern: str, house: House, dice: random.Random) -> bool:
    """A file loses its end, as on a machine that lost its power."""
    if not (files := sorted(house.out.glob(f"*/*/*/{pattern}"))):
        return False
    path: Path = dice.choice(files)
    with suppress(OSError), open(path, "r+b") as file:
        file.truncate(dice.randint(0, max(0, path.stat().st_size - 1)))
    return True


def _newest_state_cut(house: House, dice: random.Random) -> bool:
    """The state that a resume would begin with loses its end, while nobody works on it."""
    _to_controller(signal.SIGINT, 1, house, dice)
    folders = [folder for folder in house.out.glob("*/*/*/state") if states(folder)]
    if not folders or any(process.pid for process in house.processes()):
        return False
    newest = states(dice.choice(folders))[0].path
    os.truncate(newest, dice.randint(0, newest.stat().st_size - 1))
    return True


def _full(house: House, dice: random.Random) -> bool:
    """No process may let a file grow, as on a full disk, for some seconds."""
    limited = house.processes()
    for process in limited:
        with suppress(psutil.Error, OSError):
            process.rlimit(psutil.RLIMIT_FSIZE, (0, psutil.RLIM_INFINITY))
    time.sleep(dice.uniform(0.5, 2))
    for process in limited:
        with suppress(psutil.Error, OSError):
            process.rlimit(psutil.RLIMIT_FSIZE, (psutil.RLIM_INFINITY, psutil.RLIM_INFINITY))
    return bool(limited)


FAULTS: dict[str, Fault] = {
    "controller killed": partial(_to_controller, signal.SIGKILL, 1),
    "controller terminated": partial(_to_controller, signal.SIGTERM, 1),
    "controller interrupted": partial(_to_controller, signal.SIGINT, 1),
    "controller interrupted twice": partial(_to_controller, signal.SIGINT, 2),
    "terminal closed": partial(_to_group, signal.SIGHUP),
    "everything killed": partial(_to_group, signal.SIGKILL),
    "Ctrl-C": partial(_to_group, signal.SIGINT),
    "worker killed": partial(_to_worker, signal.SIGKILL),
    "worker terminated": partial(_to_worker, signal.SIGTERM),
    "worker stopped and continued": partial(_stopped, "worker"),
    "all stopped and continued": partial(_stopped, "all"),
    "starved": _starved,
    "second controller": _second_controller,
    "resumed twice": _resumed_twice,
    "note cut": partial(_cut, "session.json"),
    "progress cut": partial(_cut, "progress.jsonl"),
    "attempt cut": partial(_cut, "attempts/*.json"),
    "record cut": partial(_cut, "record.json"),
    "newest state cut": _newest_state_cut,
    "disk full": _full,
}
