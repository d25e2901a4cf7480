"""One of two processes fails in the middle of training: ``python -m benchmarks.gpu.failing DEVICE`` prints JSON.

Under NCCL the other process waits in a reduction that never ends. The run has to end all the same, and to say why.
"""

import json
import subprocess
import sys
import time

import torch

from crossmae.run.rank import under_torchrun
from crossmae.train.runtime.distributed import join_world

REASON = "this process fails on purpose"
SECONDS = 120
LAUNCHER = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


def main(device: str) -> None:
    """Starts both processes; prints the seconds until the run had ended, and whether the reason was told."""
    if under_torchrun():
        fail(device)
        return
    before = time.monotonic()
    command = [*LAUNCHER, "-m", "benchmarks.gpu.failing", device]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
    if done.returncode == 0 or REASON not in done.stderr:
        raise RuntimeError(f"the run ended with {done.returncode} and without its reason: {done.stderr[-500:]}")
    print(json.dumps({"seconds": time.monotonic() - before, "reason_told": True}))


def fail(device: str) -> None:
    """Reduces once together, and then the first process alone while the second one raises."""
    with join_world(device) as world:
        world.sum_(torch.ones(1, device=world.device))
        if not world.is_main:
            raise RuntimeError(REASON)
        world.sum_(torch.ones(1, device=world.device))
        world.gather(None)


if __name__ == "__main__":
    main(*sys.argv[1:])
