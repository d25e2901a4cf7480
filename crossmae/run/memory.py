"""Memory of this process and its GPU."""

import resource
import sys


def peak_memory(gpu: bool = True) -> int:
    """Greatest memory so far in bytes: the current GPU's where this process used one (and ``gpu``), else the process's.

    Loads no torch: a process that has not loaded it uses no GPU.
    """
    torch = sys.modules.get("torch")
    if gpu and torch is not None and torch.cuda.is_initialized():
        return int(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
