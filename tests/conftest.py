"""What holds for all tests: no GPU but in ``tests/gpu``, so that they show the same on every machine, and one thread.

A process of several OpenMP threads must not fork, and some tests fork: torch reads this value when it is imported.
"""

import os
import shutil
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")

GPU = Path(__file__).parent / "gpu"


def pytest_configure(config: pytest.Config) -> None:
    paths = [Path(config.invocation_params.dir, arg.partition("::")[0]).resolve() for arg in config.args]
    # Where there is no GPU to hide, the environment stays as it is.
    if shutil.which("nvidia-smi") and not all(path.is_relative_to(GPU) for path in paths):
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
