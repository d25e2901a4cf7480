"""The code blocks of the documentation.

Words behind a fence's language say what the tests do with it: ``sh run`` is run, ``sh run long`` by ``make walk``
only, ``yaml file=PATH`` is saved as PATH. Commands in other ``sh`` blocks are only read by the real command lines.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))

_FENCE = re.compile(r"^(?P<indent> *)```(?P<info>[^\n`]*)\n(?P<text>.*?)^(?P=indent)```", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """One fenced block: its text, and the words behind the three backticks."""

    words: tuple[str, ...]
    text: str

    @property
    def is_shell(self) -> bool:
        return self.words[:1] == ("sh",)

    @property
    def is_run(self) -> bool:
        return self.is_shell and "run" in self.words

    @property
    def is_long(self) -> bool:
        return "long" in self.words

    @property
    def file(self) -> str | None:
        """Where the page asks the reader to save it."""
        return next((word.removeprefix("file=") for word in self.words if word.startswith("file=")), None)

    @property
    def commands(self) -> list[str]:
        """Its lines, continued ones joined, without comments."""
        joined = self.text.replace("\\\n", " ").splitlines()
        lines = (re.sub(r"(^|\s)#.*", "", line).strip() for line in joined)
        return [line for line in lines if line]


def blocks(page: Path) -> list[Block]:
    """All fenced blocks of a page, from top to bottom."""
    return [Block(tuple(m["info"].split()), dedent(m["text"])) for m in _FENCE.finditer(page.read_text())]


def inline_commands(page: Path) -> list[str]:
    """Code in running text."""
    return re.findall(r"`([^`\n]+)`", _FENCE.sub("", page.read_text()))
