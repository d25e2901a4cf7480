"""The device guard, compiled once for all processes of the tests."""

from pathlib import Path

import pytest
import torch

from tests.cuda_without_gpu import guard


@pytest.fixture(scope="session")
def guard_library() -> Path:
    """The compiled guard."""
    if torch.version.cuda is not None:
        pytest.skip("this torch has CUDA of its own; tests/gpu runs on it")
    if guard.compiler() is None:
        pytest.fail("no C++ compiler for the device guard; install g++")
    return guard.built()
