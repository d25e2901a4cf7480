"""The wheel, installed by itself, used from a folder that has nothing to do with the project."""

import email
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("crossmae", "results", "transfer", "detection", "segmentation")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of the tree: setuptools leaves, and takes up again, a build folder in the sources."""
    folder = tmp_path_factory.mktemp("wheel")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    pip("wheel", "--no-build-isolation", "--wheel-dir", str(folder), str(folder))
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    pip("install", "--target", str(folder), str(wheel))
    return folder


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A user's working folder, with a package of its own that is named like one of ours."""
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "__init__.py").write_text("raise RuntimeError('this is not ours')")
    return tmp_path


def pip(command: str, *arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "pip", command, "--quiet", "--no-deps", *arguments], check=True)


def run(site: Path, folder: Path, command: str, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(site)}
    script = str(site / "bin" / command)
    done = subprocess.run([script, *arguments], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_wheel_holds_every_file_of_the_packages(wheel: Path) -> None:
    in_wheel = set(zipfile.ZipFile(wheel).namelist())
    sources = (path for package in PACKAGES for path in (wheel.parent / package).rglob("*"))
    in_tree = {str(path.relative_to(wheel.parent)) for path in sources if path.is_file()}
    assert not in_tree - in_wheel


def test_wheel_brings_its_licence(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    info = f"{wheel.name.rsplit('-', 3)[0]}.dist-info"
    assert email.message_from_bytes(archive.read(f"{info}/METADATA"))["License-Expression"] == "Apache-2.0"
    assert archive.read(f"{info}/licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()


@pytest.mark.parametrize("command", ["crossmae", "transfer", "run_all"])
def test_commands_print_their_help(site: Path, elsewhere: Path, command: str) -> None:
    assert "Usage" in run(site, elsewhere, command, "--help")


@pytest.mark.slow
def test_demo_is_planned_outside_the_project(site: Path, elsewhere: Path) -> None:
    plan = run(site, elsewhere, "run_all", "--suite", "demo", "--out", "runs/demo", "--devices", "cpu", "--dry-run")
    assert "coco_vitdet" in plan
    assert [path.name for path in elsewhere.iterdir()] == ["results"]


def test_packages_are_taken_from_the_wheel(site: Path, elsewhere: Path) -> None:
    for package in PACKAGES:
        command = [sys.executable, "-P", "-c", f"import {package}; print({package}.__file__)"]
        environment = {**os.environ, "PYTHONPATH": str(site)}
        output = subprocess.run(command, cwd=elsewhere, env=environment, capture_output=True, text=True, check=True)
        assert output.stdout.startswith(str(site))
