"""The files for contributors can be read by the programs that they are for, and lead somewhere."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.prerequisites import PYTHONS

ROOT = Path(__file__).parents[2]
PAGES = ("CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "CODE_OF_CONDUCT.md", ".github/pull_request_template.md")
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))


def read(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text())


def test_the_citation_names_this_version_and_the_paper() -> None:
    citation = read("CITATION.cff")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (str(citation["version"]), citation["license"]) == (project["version"], project["license"])
    (paper,) = citation["references"]
    assert (paper["title"], paper["year"]) == ("Rethinking Patch Dependence for Masked Autoencoders", 2025)
    assert all(author.keys() == {"given-names", "family-names"} for author in paper["authors"])


def test_the_workflow_runs_the_checks() -> None:
    job = read(".github/workflows/ci.yml")["jobs"]["checks"]
    assert job["steps"][-1] == {"run": "bash .ci/run"}
    assert (ROOT / ".ci" / "run").is_file()


def test_the_workflow_runs_them_on_every_python() -> None:
    job = read(".github/workflows/ci.yml")["jobs"]["checks"]
    assert [entry["python"] for entry in job["strategy"]["matrix"]["include"]] == [
        f"python{major}.{minor}" for major, minor in PYTHONS
    ]
    assert job["env"] == {"PYTHON": "${{ matrix.python }}"}
    assert '"$PYTHON"' in (ROOT / ".ci" / "run").read_text()


def test_the_hooks_are_programs_of_the_environment() -> None:
    (local,) = read(".pre-commit-config.yaml")["repos"]
    makefile = (ROOT / "Makefile").read_text()
    for hook in local["hooks"]:
        program = hook["entry"].split()[0].removeprefix(".venv/bin/")
        assert f"$(BIN)/{program}" in makefile


@pytest.mark.parametrize("form", [form for form in FORMS if form.stem != "config"], ids=lambda form: form.stem)
def test_a_form_has_a_name_and_questions(form: Path) -> None:
    content = yaml.safe_load(form.read_text())
    assert content.keys() >= {"name", "description", "body"}
    assert all(question["attributes"]["label"] for question in content["body"])


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", (ROOT / page).read_text())
    assert [target for target in targets if not (ROOT / page).parent.joinpath(target).exists()] == []


def test_folders_on_the_map_exist() -> None:
    table = re.findall(r"^\| (`.*?) \|", (ROOT / "CONTRIBUTING.md").read_text(), flags=re.MULTILINE)
    folders = [name for line in table for name in re.findall(r"`([^`]+/)`", line)]
    assert len(folders) > 10
    assert [folder for folder in folders if not (ROOT / folder).is_dir()] == []
