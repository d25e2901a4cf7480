"""What the set-up promises of the environment that the tests run in."""

import os
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import torch
import torchvision
from packaging.requirements import Requirement

from scripts.environment import Environment

ROOT = Path(__file__).parents[1]
NOT_IN_THE_REGISTRY = {"detectron2"}
BUILT_ON_DEMAND = {"flash-attn"}


def test_packages_agree_with_each_other() -> None:
    done = subprocess.run([sys.executable, "-m", "pip", "check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_every_dependency_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [
        *project["dependencies"],
        *(line for extra in project["optional-dependencies"].values() for line in extra),
    ]
    names = {normal(re.split(r"[<>=\[]", line)[0]) for line in wanted}
    pinned = {normal(name) for name in Environment(ROOT).pins()}
    assert names - pinned == NOT_IN_THE_REGISTRY | BUILT_ON_DEMAND


def test_what_dependencies_bring_along_is_pinned() -> None:
    pinned = {normal(name) for name in Environment(ROOT).pins()}
    # A CUDA build of torch pins its own CUDA packages.
    lines = {line for name in pinned - {"torch"} for line in metadata.requires(name) or ()}
    wanted = [requirement for requirement in map(Requirement, lines) if applies(requirement)]
    assert {normal(requirement.name) for requirement in wanted} <= pinned


def applies(requirement: Requirement) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": ""})


def test_lock_names_no_build_and_no_place() -> None:
    for pin in Environment(ROOT).pins().values():
        assert re.fullmatch(r"[\w.-]+==[\w.]+", pin)


def test_torchvision_brings_its_operators() -> None:
    boxes = torch.tensor([[0.0, 0, 4, 4], [0, 0, 4, 5], [8, 8, 9, 9]])
    assert torchvision.ops.nms(boxes, torch.tensor([0.5, 0.9, 0.1]), 0.5).tolist() == [1, 2]
    features = torch.ones(1, 1, 8, 8, requires_grad=True)
    torchvision.ops.roi_align(features, torch.tensor([[0.0, 0, 0, 4, 4]]), 2).sum().backward()
    assert features.grad is not None
    assert features.grad.sum() == 4


def test_torchvision_decodes_jpeg() -> None:
    image = torch.full((3, 16, 16), 128, dtype=torch.uint8)
    decoded = torchvision.io.decode_jpeg(torchvision.io.encode_jpeg(image))
    assert (decoded.int() - 128).abs().max() <= 1


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_only_the_tests_of_gpus_see_one(tmp_path: Path) -> None:
    """Told by the variable of a process that collects nothing, on a machine that claims to have GPUs."""
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    (tmp_path / "say.py").write_text(
        "import os\n\ndef pytest_report_header():\n    return f\"seen {os.environ.get('CUDA_VISIBLE_DEVICES')!r}\"\n"
    )
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": f"{ROOT}:{tmp_path}"}
    environment.pop("CUDA_VISIBLE_DEVICES", None)
    seen = []
    for folder in ("tests/gpu", "tests/scripts"):
        command = [sys.executable, "-m", "pytest", "-p", "say", "--collect-only", "-k", "no such test", folder]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        seen += [line for line in done.stdout.splitlines() if line.startswith("seen")]
    assert seen == ["seen None", "seen ''"]
