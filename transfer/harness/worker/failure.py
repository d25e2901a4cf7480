"""What a failure means: its reason in one line, and whether trying again may mend it."""

import errno
from typing import NamedTuple

from crossmae.errors import UserError
from transfer.harness.folder.request import Request

_FLEETING = {errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ECONNRESET, errno.ECONNREFUSED, errno.EPIPE}
_FLEETING_TEXTS = (
    *("NCCL", "Connection reset", "Connection closed by peer", "ECC error", "unspecified launch failure"),
    "DataLoader worker (pid",  # was killed; an error that a worker met says "in DataLoader worker process"
)
_MEMORY_TEXTS = ("out of memory", "can't allocate memory", "Cannot allocate memory")
FULL_DISK = "no space left on the disk; free some and run the same command again"
_DISK_TEXTS = ("No space left on device", "file write failed")


class Failure(NamedTuple):
    """Why a try ended."""

    reason: str
    retryable: bool


def explain(error: BaseException, request: Request) -> Failure:
    """The reason of ``error`` in one line, with what to do where that is known."""
    text = " ".join(str(error).split())
    if isinstance(error, UserError):
        return Failure(text, False)
    if isinstance(error, MemoryError) or any(part in text for part in _MEMORY_TEXTS):
        return Failure(f"out of memory; {_smaller(request)}", False)
    if any(part in text for part in _DISK_TEXTS):
        return Failure(FULL_DISK, False)
    fleeting = isinstance(error, OSError) and error.errno in _FLEETING
    fleeting = fleeting or any(part in text for part in _FLEETING_TEXTS)
    return Failure(f"{type(error).__name__}: {text}"[:400], fleeting)


def killed(signal_number: int, name: str) -> Failure:
    """A process that a signal ended; memory pressure and other people's kills pass."""
    note = " (often the system's out-of-memory killer)" if name == "SIGKILL" else ""
    return Failure(f"killed by signal {signal_number} {name}{note}", True)


def _smaller(request: Request) -> str:
    size = request.recipe.execution.get("per_device_batch")
    if not isinstance(size, int) or size < 2:
        return "use fewer loader workers or a device with more memory"
    return f"halve per_device_batch: --set {request.task.name}.per_device_batch={size // 2} (the numbers stay the same)"
