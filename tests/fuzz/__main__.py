"""Fuzzing: ``python -m tests.fuzz MINUTES [READER...]``, as ``make fuzz`` does.

Each reader works in a process of its own, so that one that crashes or is killed takes none of the others away. What it
must not do is printed, once for each kind, with the file that made it; mended, it belongs into ``tests/fuzz/cases``.
"""

import hashlib
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from random import Random

import torch

from tests.fuzz.guard import HarmError, attempt
from tests.fuzz.mutate import mutated
from tests.fuzz.runs import TARGETS

ROOT = Path(__file__).parents[2]
KEPT = ROOT / "runs" / "fuzz"
MEMORY = 4 * 2**30
"""Bytes that reading a small file may take."""


def main() -> None:
    """Shares the minutes out among the readers; exit code 1 if any of them did harm."""
    minutes, names = float(sys.argv[1]), sys.argv[2:] or sorted(TARGETS)
    print(f"{'reader':22}{'executions':>12}{'a second':>10}{'harmful':>9}")
    harmful = sum(_in_own_process(name, 60 * minutes / len(names)) for name in names)
    print(f"{len(names)} readers, kinds of harm: {harmful}{f'; the files are in {KEPT}' if harmful else ''}")
    sys.exit(harmful > 0)


def _in_own_process(name: str, seconds: float) -> int:
    """Prints a reader's line and its harms; returns how many there are."""
    code = f"from tests.fuzz.__main__ import fuzz; fuzz({name!r}, {seconds})"
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        ended = subprocess.run(
            [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        lines = ended.stdout.splitlines()
        count, speed = lines[-1].split() if ended.returncode == 0 else ("?", "?")
        harms = [line for line in lines if " <- " in line]
        if ended.returncode:
            content = (Path(folder) / "last").read_bytes()
            harms += [f"ended by {ended.returncode}: {ended.stderr[-300:]!r} <- {_keep(name, content)}"]
    print(f"{name:22}{count:>12}{speed:>10}{len(harms):>9}", *harms, sep="\n    ", flush=True)
    return len(harms)


def fuzz(name: str, seconds: float) -> None:
    """Has one reader read mutated files below the working folder; prints each kind of harm, then count and speed."""
    torch.set_num_threads(1)
    folder = Path.cwd() / "target"
    folder.mkdir()
    target, random = TARGETS[name](folder), Random()
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    kinds: set[str] = set()
    count, started = 0, time.monotonic()
    while time.monotonic() < started + seconds:
        content = mutated(random, random.choice(target.sound))
        Path("last").write_bytes(content)
        count += 1
        try:
            attempt(target, content)
        except HarmError as harm:
            if (kind := str(harm)[:40]) not in kinds:
                kinds.add(kind)
                print(f"{harm} <- {_keep(name, content)}", flush=True)
    print(count, f"{count / (time.monotonic() - started):.0f}")


def _keep(name: str, content: bytes) -> Path:
    path = KEPT / name / hashlib.sha256(content).hexdigest()[:16]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


if __name__ == "__main__":
    main()
