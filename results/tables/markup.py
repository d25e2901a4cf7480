"""How emphasis, marks and line breaks are written in each form of a table."""

import html
import sys
import textwrap
from dataclasses import dataclass

from crossmae.errors import printable

MINUS = "\N{MINUS SIGN}"
BLANK = "\N{EN DASH}"
"""Stands where there is nothing to show."""

_LATEX = str.maketrans(
    {"&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}"}
    | {"^": r"\textasciicircum{}", "\\": r"\textbackslash{}", "±": r"$\pm$", MINUS: "$-$", BLANK: "--"}
)
_MARKDOWN = str.maketrans({character: f"\\{character}" for character in "\\|*[]`"} | {"<": "&lt;"})


class Markup:
    """Plain text for the terminal; the other forms override what they write differently."""

    line_break = "\n"
    heading_width: int | None = 14
    """Headings are broken into lines of this many characters, between words, as names of tasks are copied from them;
    None where the form breaks lines by itself.
    """

    def heading(self, *parts: str) -> str:
        """A column's heading, each part on a line of its own."""
        width = self.heading_width
        wrapper = textwrap.TextWrapper(width or sys.maxsize, break_long_words=False)
        lines = [line for part in parts for line in wrapper.wrap(part)]
        return self.line_break.join(self.text(line) for line in lines)

    def text(self, text: str) -> str:
        """``text`` without control characters, and with the form's special characters escaped."""
        return printable(text)

    def best(self, text: str) -> str:
        """The best number of a column; ``text`` is escaped already."""
        return f"*{text}"

    def marks(self, marks: tuple[str, ...]) -> str:
        """Marks behind a number that point to the notes under the table."""
        return f" [{','.join(marks)}]" if marks else ""

    def link(self, text: str, address: str) -> str:
        """A link."""
        return f"{self.text(text)}, {address}"


class Markdown(Markup):
    """GitHub's Markdown."""

    line_break = "<br>"
    heading_width = None

    def text(self, text: str) -> str:
        # A backslash before [ and ] makes text of links and pictures; a bare address would become a link, too.
        return printable(text).translate(_MARKDOWN).replace("://", "&#58;//")

    def best(self, text: str) -> str:
        return f"**{text}**"

    def marks(self, marks: tuple[str, ...]) -> str:
        return f" <sup>{','.join(marks)}</sup>" if marks else ""

    def link(self, text: str, address: str) -> str:
        return f"[{self.text(text)}]({address})"


class UnmarkedMarkdown(Markdown):
    """GitHub's Markdown without the marks of notes, for a table that stands without them."""

    def marks(self, marks: tuple[str, ...]) -> str:
        return ""


class Latex(Markup):
    """LaTeX with adjustbox, booktabs, makecell and hyperref."""

    line_break = r" \\ "

    def text(self, text: str) -> str:
        return printable(text).translate(_LATEX)

    def best(self, text: str) -> str:
        return rf"\textbf{{{text}}}"

    def marks(self, marks: tuple[str, ...]) -> str:
        return rf"\textsuperscript{{{','.join(marks)}}}" if marks else ""

    def link(self, text: str, address: str) -> str:
        return rf"\href{{{address}}}{{{self.text(text)}}}"


class Html(Markup):
    """HTML."""

    line_break = "<br>"
    heading_width = None

    def text(self, text: str) -> str:
        return html.escape(printable(text))

    def best(self, text: str) -> str:
        return f"<strong>{text}</strong>"

    def marks(self, marks: tuple[str, ...]) -> str:
        return f"<sup>{','.join(marks)}</sup>" if marks else ""

    def link(self, text: str, address: str) -> str:
        return f'<a href="{html.escape(address)}">{self.text(text)}</a>'


@dataclass(frozen=True)
class Number:
    """How a number is written."""

    decimals: int = 1

    def plain(self, value: float) -> str:
        """``12.3``; a negative number with a minus sign, not a hyphen."""
        return f"{value:.{self.decimals}f}".replace("-", MINUS)

    def signed(self, value: float) -> str:
        """``+0.4``; ``0.0`` has no sign."""
        text = f"{value:+.{self.decimals}f}".replace("-", MINUS)
        return text[1:] if float(f"{value:.{self.decimals}f}") == 0 else text
