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


def build(*options: str) -> subprocess.CompletedProcess[str]:
    """Builds the site as ``make docs`` does: with --quiet MkDocs would count no warning, and none would be an error."""
    command = [sys.executable, "-m", "mkdocs", "build", *options]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


@pytest.mark.slow
def test_a_page_that_the_menu_lacks_is_an_error(tmp_path: Path) -> None:
    menu = (ROOT / "mkdocs.yml").read_text()
    for here in ("docs_dir: docs", "hooks: [scripts", 'paths: ["."]'):
        assert here in menu
    menu = menu.replace("docs_dir: docs", f"docs_dir: {ROOT}/docs").replace(
        "hooks: [scripts", f"hooks: [{ROOT}/scripts"
    )
    menu = menu.replace('paths: ["."]', f'paths: ["{ROOT}"]').replace("      - reproduction.md\n", "")
    (tmp_path / "mkdocs.yml").write_text(menu)
    done = build("--config-file", str(tmp_path / "mkdocs.yml"), "--site-dir", str(tmp_path / "site"))
    assert (done.returncode, done.stdout.strip()) == (1, "Aborted with 1 warnings in strict mode!")
    assert 'not included in the "nav" configuration:\n  - reproduction.md\n' in done.stderr


@pytest.mark.slow
def test_it_is_built_without_a_warning_and_asks_no_other_host(tmp_path: Path) -> None:
    done = build("--site-dir", str(tmp_path))
    assert (done.returncode, "WARNING" in done.stdout + done.stderr) == (0, False), done.stdout + done.stderr
    pages = {path.stem for path in (ROOT / "docs").glob("*.md")}
    assert pages <= {path.stem for path in tmp_path.glob("*.html")}
    assert "transfer.evaluate" in (tmp_path / "search" / "search_index.json").read_text()
    for page in tmp_path.rglob("*.html"):
        loaded = re.findall(r"<(?:script|img|link)[^>]+(?:src|href)=\"?(https?:[^\" >]+)", page.read_text())
        assert [address for address in loaded if "canonical" not in address] == [], page
