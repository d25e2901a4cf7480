"""The walks through the code in docs/design.md: each file exists and is reached as the page says.

A walk is a nested list under a heading ``### TITLE (at most N files)``. An item begins with how its file is reached
from the item that it is nested in: ``imports``, ``starts`` (a process, by the module's name) or ``loads`` (a class
whose name stands in the YAML file that is given in brackets). On the first level, reading begins.
"""

import ast
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "design.md"

LIMITS = {
    "A batch from a folder to its loss": 12,
    "A `.pth` into detectron2's ViT": 13,
    "An AP from the evaluator to a cell": 10,
    "`run_all` to a working process": 14,
}

_HEADING = re.compile(r"^### (?P<title>.+) \(at most (?P<limit>\d+) files\)$", re.MULTILINE)
_ITEM = re.compile(
    r"^(?P<indent> *)- (?:(?P<verb>imports|starts|loads) )?\[`(?P<path>[^`]+)`\]\(\.\./(?P=path)\)"
    r"(?: \(named in \[`(?P<yaml>[^`]+)`\]\(\.\./(?P=yaml)\)\))?",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Step:
    """A file on a walk, the file that it is reached from, and how."""

    path: str
    parent: str | None
    verb: str | None
    yaml: str | None

    @property
    def module(self) -> str:
        return self.path.removesuffix("/__main__.py").removesuffix("/__init__.py").removesuffix(".py").replace("/", ".")


@cache
def walks() -> dict[str, tuple[int, list[Step]]]:
    """Title to the number of files that the page promises at most, and the steps."""
    text = PAGE.read_text()
    headings = list(_HEADING.finditer(text))
    ends = [heading.start() for heading in headings[1:]] + [len(text)]
    return {
        heading["title"]: (int(heading["limit"]), steps(text[heading.end() : end].partition("\n## ")[0]))
        for heading, end in zip(headings, ends, strict=True)
    }


def steps(section: str) -> list[Step]:
    above: list[tuple[int, str]] = []
    walk = []
    for item in _ITEM.finditer(section):
        depth = len(item["indent"])
        above = [entry for entry in above if entry[0] < depth]
        walk.append(Step(item["path"], above[-1][1] if above else None, item["verb"], item["yaml"]))
        above.append((depth, item["path"]))
    return walk


def names_in(path: Path) -> tuple[set[str], set[str]]:
    """What a module imports, in functions too, and every text that stands in it."""
    imported, texts = set(), set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            imported |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            texts.add(node.value)
    return imported, texts


def is_reached(step: Step) -> bool:
    assert step.parent is not None
    imported, texts = names_in(ROOT / step.parent)
    if step.verb == "imports":
        return step.module in imported
    if step.verb == "starts":
        return step.module in texts
    assert step.yaml is not None
    return re.search(rf"^adapter: {re.escape(step.module)}:", (ROOT / step.yaml).read_text(), re.MULTILINE) is not None


def test_the_page_has_the_four_walks() -> None:
    assert {title: limit for title, (limit, _) in walks().items()} == LIMITS


@pytest.mark.parametrize("title", LIMITS)
def test_no_walk_opens_more_files_than_it_promises(title: str) -> None:
    files = [step.path for step in walks()[title][1]] + [step.yaml for step in walks()[title][1] if step.yaml]
    assert len(files) > 5
    assert len(files) == len(set(files)) <= LIMITS[title]
    assert [name for name in files if not (ROOT / name).is_file()] == []


@pytest.mark.parametrize("title", LIMITS)
def test_each_file_is_reached_as_the_page_says(title: str) -> None:
    nested = [step for step in walks()[title][1] if step.parent]
    assert [f"{step.parent} -> {step.path}" for step in nested if step.verb is None or not is_reached(step)] == []
