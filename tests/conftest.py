"""Hides GPUs from all tests but those in ``tests/gpu``, so that the others show the same on every machine."""

import os
import shutil
from pathlib import Path

import pytest

GPU = Path(__file__).parent / "gpu"


def pytest_configure(config: pytest.Config) -> None:
    paths = [Path(config.invocation_params.dir, arg.partition("::")[0]).resolve() for arg in config.args]
    # Where there is no GPU to hide, the environment stays as it is.
    if shutil.which("nvidia-smi") and not all(path.is_relative_to(GPU) for path in paths):
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
