"""The devices of this machine and who has them: GPUs, or slots of CPU cores."""

import os
import subprocess
import sys
from dataclasses import dataclass, field

from crossmae.errors import UserError
from transfer.harness.worker.gpu import DEVICE_VARIABLE

CPU_SLOTS = 2
"""Two processes with half of the cores each get more done than one with all, at the sizes that CPUs are used for."""

SLOTS_PER_CORE = 4
_SLOTS_ANYWHERE = 16


@dataclass
class Pool:
    """Hands out devices; no device is ever held by two runs."""

    names: tuple[str, ...]
    gpus: bool
    cores: int
    _free: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self._free = list(self.names)

    @property
    def size(self) -> int:
        """Number of devices, free or not."""
        return len(self.names)

    def take(self, count: int) -> tuple[str, ...] | None:
        """``count`` devices, or None if fewer are free."""
        if count > len(self._free):
            return None
        taken, self._free = self._free[:count], self._free[count:]
        return tuple(taken)

    def give_back(self, devices: tuple[str, ...]) -> None:
        """Makes devices free again, in their old order."""
        self._free = [name for name in self.names if name in {*self._free, *devices}]

    def environment(self, devices: tuple[str, ...]) -> dict[str, str]:
        """Variables that confine a run to its devices and to its share of the cores."""
        threads = str(max(1, self.cores // self.size))
        visible = ",".join(devices) if self.gpus else ""
        return {
            "OMP_NUM_THREADS": threads,
            "MKL_NUM_THREADS": threads,
            "CUDA_VISIBLE_DEVICES": visible,
            DEVICE_VARIABLE: "cuda" if self.gpus else "cpu",
        }

    def problems(self) -> list[str]:
        """What is wrong with the GPUs, as torch sees them in a process of its own; nothing where there are none."""
        if not self.gpus:
            return []
        command = [sys.executable, "-P", "-m", "transfer.harness.worker.gpu"]
        environment = {**os.environ, **self.environment(self.names)}
        try:
            done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
        except subprocess.TimeoutExpired:
            return ["torch does not answer on the GPUs within 5 minutes; look at nvidia-smi"]
        if done.returncode:
            return [f"the check of the GPUs failed: {(done.stderr.strip().splitlines() or ['no error message'])[-1]}"]
        return done.stdout.splitlines()[-1:]


def find_pool(asked: str | None = None) -> Pool:
    """The pool of this machine: ``asked`` is ``cpu``, ``cpu:4`` or ``0,1,2``; by default all GPUs, else CPU slots.

    Raises:
        UserError: ``asked`` is none of these.
    """
    cores = len(os.sched_getaffinity(0))
    gpus = [] if asked is not None and asked.partition(":")[0] == "cpu" else _gpus(asked)
    if gpus:
        return Pool(tuple(gpus), True, cores)
    slots = _slots(asked, cores)
    return Pool(tuple(f"cpu{index}" for index in range(slots)), False, cores)


def _slots(asked: str | None, cores: int) -> int:
    _, _, count = (asked or "").partition(":")
    if not count:
        return min(CPU_SLOTS, cores)
    if not count.isdecimal() or int(count) == 0:
        raise UserError(f"--devices {asked}: give cpu, cpu:4 (slots) or GPU numbers such as 0,1")
    if int(count) > (most := max(_SLOTS_ANYWHERE, SLOTS_PER_CORE * cores)):
        raise UserError(f"--devices {asked}: {cores} cores are too few", f"give at most cpu:{most}")
    return int(count)


def _gpus(asked: str | None) -> list[str]:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if asked is None:
        return _listed() if visible is None else [name for name in _names(visible) if _is_gpu(name)]
    names = _names(asked)
    if not names or len(set(names)) < len(names) or not all(map(_is_gpu, names)):
        raise UserError(f"--devices {asked}: give cpu, cpu:4 (slots) or GPU numbers such as 0,1")
    there = _listed()
    if absent := [name for name in names if name.isdigit() and name not in there]:
        has = f"it has {', '.join(there)}" if there else "nvidia-smi shows none; give --devices cpu"
        raise UserError(f"--devices {asked}: no GPU {', '.join(absent)} on this machine", has)
    return names


def _is_gpu(name: str) -> bool:
    return name.isdecimal() or name.startswith(("GPU-", "MIG-"))


def _names(given: str) -> list[str]:
    return [name.strip() for name in given.split(",") if name.strip() not in ("", "-1")]


def _listed() -> list[str]:
    """Numbers of this machine's GPUs."""
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return [str(index) for index, line in enumerate(line for line in listed.splitlines() if line.startswith("GPU"))]
