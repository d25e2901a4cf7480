"""What pip would install on a machine with CUDA: the registry's own torch, resolved and not downloaded."""

import json
import os
import platform
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from scripts.environment import Environment

ROOT = Path(__file__).parents[2]
LIBRARIES = ("nvidia-cublas", "nvidia-cudnn-cu13", "nvidia-nccl-cu13", "nvidia-cuda-nvrtc", "triton")
"""What a step on a GPU calls: products, attention, reductions, compiled kernels."""


@pytest.fixture(scope="module")
def resolved() -> dict[str, dict[str, Any]]:
    """Name to metadata of what the lock's torch and torchvision bring along, without this machine's pip settings."""
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        pytest.skip("another platform has other builds")
    pins = Environment(ROOT).pins()
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--dry-run",
        "--ignore-installed",
        "--quiet",
        "--use-feature=fast-deps",
        "--report",
        "-",
    ]
    constraint = ["--constraint", str(ROOT / "scripts" / "requirements.lock")]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PIP_") or name == "PIP_CERT"}
    done = subprocess.run(
        [*command, "--retries", "1", "--timeout", "20", *constraint, pins["torch"], pins["torchvision"]],
        capture_output=True, text=True, timeout=600, env={**kept, "PIP_CONFIG_FILE": os.devnull},
    )  # fmt: skip
    if re.search(
        r"ConnectionError|ConnectTimeout|ReadTimeout|ProxyError|NameResolution|SSLError|403 Client", done.stderr
    ):
        pytest.skip("the package registry cannot be reached")
    assert done.returncode == 0, done.stderr
    return {package["metadata"]["name"]: package for package in json.loads(done.stdout)["install"]}


@pytest.mark.slow
def test_a_cuda_machine_gets_torch_with_its_cuda_packages(resolved: dict[str, dict[str, Any]]) -> None:
    pins = Environment(ROOT).pins()
    for name in ("torch", "torchvision"):
        # A "+cpu" in it is what the set-up takes for a build without CUDA, for which it compiles a stand-in library.
        assert f"{name}=={resolved[name]['metadata']['version']}" == pins[name]
    wanted = [Requirement(text) for text in resolved["torchvision"]["metadata"]["requires_dist"]]
    assert pins["torch"] in [str(requirement) for requirement in wanted], "the build of this very torch"
    assert set(LIBRARIES) <= resolved.keys()
    assert all(package["download_info"]["url"].endswith(".whl") for package in resolved.values()), "nothing is compiled"


@pytest.mark.slow
def test_the_documentation_names_the_version_of_cuda(resolved: dict[str, dict[str, Any]]) -> None:
    version = resolved["cuda-toolkit"]["metadata"]["version"]
    major, minor, *_ = version.split(".")
    page = (ROOT / "docs" / "cuda.md").read_text()
    assert f"CUDA {major}.{minor}" in page
    assert all(f"{name} {resolved[name]['metadata']['version']}" in page for name in LIBRARIES)
