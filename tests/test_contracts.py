"""import-linter sees every kind of arrow that the design forbids."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("crossmae", "results", "transfer", "detection", "segmentation")

FORBIDDEN = {
    "torch in the life of a process": ("crossmae/run/stop.py", "import torch"),
    "a lower package that knows a higher one": ("results/store.py", "import transfer.task"),
    "an adapter that knows the harness": ("detection/task.py", "import transfer.harness.benchmark"),
    "a circle between rooms, by an import in a function": (
        "transfer/harness/plan/suite.py",
        "def show() -> None:\n    import transfer.harness.benchmark",
    ),
}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the five packages and of what import-linter holds of them."""
    folder = tmp_path_factory.mktemp("tree")
    for package in PACKAGES:
        ignore = shutil.ignore_patterns("__pycache__", "assets", "*.json", "*.jpg", "*.npz", "*.png")
        shutil.copytree(ROOT / package, folder / package, ignore=ignore)
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def lint(tree: Path) -> tuple[int, str]:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    done = subprocess.run(command, cwd=tree, env={"COLUMNS": "200"}, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def test_the_tree_keeps_its_contracts(tree: Path) -> None:
    code, output = lint(tree)
    assert (code, " 0 broken" in output) == (0, True), output


@pytest.mark.parametrize("arrow", FORBIDDEN)
def test_a_forbidden_import_is_seen(tree: Path, arrow: str) -> None:
    name, statement = FORBIDDEN[arrow]
    module = tree / name
    text = module.read_text()
    module.write_text(f"{text}\n\n{statement}\n")
    try:
        code, output = lint(tree)
    finally:
        module.write_text(text)
    assert (code, " 0 broken" in output) == (1, False), output
