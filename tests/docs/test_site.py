"""The site: built with warnings as errors, and complete."""

import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
API = ROOT / "docs" / "api"


@pytest.mark.parametrize("package", ["crossmae", "transfer"])
def test_every_public_name_has_a_place(package: str) -> None:
    shown = re.findall(r"^::: (\S+)$", (API / f"{package}.md").read_text(), flags=re.MULTILINE)
    assert {*import_module(package).__all__} <= {name.rpartition(".")[2] for name in shown}
    assert all(hasattr(import_module(name.rpartition(".")[0]), name.rpartition(".")[2]) for name in shown)


@pytest.mark.slow
def test_it_is_built_without_a_warning_and_asks_no_other_host(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(tmp_path)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    pages = {path.stem for path in (ROOT / "docs").glob("*.md")}
    assert pages <= {path.stem for path in tmp_path.glob("*.html")}
    assert "transfer.evaluate" in (tmp_path / "search" / "search_index.json").read_text()
    for page in tmp_path.rglob("*.html"):
        loaded = re.findall(r"<(?:script|img|link)[^>]+(?:src|href)=\"?(https?:[^\" >]+)", page.read_text())
        assert [address for address in loaded if "canonical" not in address] == [], page
