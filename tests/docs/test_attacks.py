"""The table of attacks: each row has its number, and tests that are there."""

import ast
import re
from functools import cache

import pytest

from tests.docs.pages import ROOT

PAGE = (ROOT / "docs" / "attacks.md").read_text()
ROWS = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in PAGE.splitlines() if line.startswith("| ")]
NUMBERED = [row for row in ROWS if row[0].strip()[:1] in tuple("ABCDE")]


@cache
def found_in(path: str) -> frozenset[str]:
    """The functions of a file that pytest takes for tests."""
    tree = ast.parse((ROOT / path).read_text())
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name[:5] == "test_")


@pytest.mark.parametrize("row", NUMBERED, ids=lambda row: row[0])
def test_the_tests_of_a_row_exist(row: list[str]) -> None:
    _, attack, now, held_by = row
    assert attack
    assert now
    named = [test.split("::") for test in re.findall(r"`([^`]+)`", held_by)]
    assert named
    assert [(path, name) for path, name in named if name not in found_in(path)] == []


def test_rows_are_numbered_without_a_gap() -> None:
    numbers = [row[0] for row in NUMBERED]
    sections = re.findall(r"^## ([A-Z])\.", PAGE, re.MULTILINE)
    counts = {letter: sum(number[0] == letter for number in numbers) for letter in sections}
    assert numbers == [f"{letter}{number + 1}" for letter, count in counts.items() for number in range(count)]
    (said,) = re.findall(r"by hand, (\d+) points", (ROOT / "docs" / "security.md").read_text())
    assert int(said) == len(numbers) > 75
