"""The device guard, compiled once for all processes of the tests."""

import fcntl
import hashlib
import tempfile
from pathlib import Path

import pytest
import torch

from tests.cuda_without_gpu import guard


@pytest.fixture(scope="session")
def guard_library() -> Path:
    """The compiled guard; its name holds what it was made from, so that it is made once on a machine."""
    if torch.version.cuda is not None:
        pytest.skip("this torch has CUDA of its own; tests/gpu runs on it")
    if guard.compiler() is None:
        pytest.fail("no C++ compiler for the device guard; install g++")
    made_from = hashlib.sha256(guard.SOURCE.read_bytes() + torch.__version__.encode()).hexdigest()[:16]
    library = Path(tempfile.gettempdir()) / f"crossmae-device-guard-{made_from}.so"
    with open(library.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not library.exists():
            part = library.with_suffix(".part")
            guard.build(part)
            part.rename(library)
    return library
