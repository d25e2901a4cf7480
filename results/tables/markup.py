"""How emphasis, marks and line breaks are written in each form of a table."""

import html
import textwrap
from dataclasses import dataclass

MINUS = "\N{MINUS SIGN}"
BLANK = "\N{EN DASH}"
"""Stands where there is nothing to show."""

_LATEX = str.maketrans(
    {"&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}"}
    | {"^": r"\textasciicircum{}", "\\": r"\textbackslash{}", "±": r"$\pm$", MINUS: "$-$", BLANK: "--"}
)


class Markup:
    """Plain text for the terminal; the other forms override what they write differently."""

    line_break = "\n"
    heading_width: int | None = 14
    """Headings are broken into lines of this many characters; None where the form breaks lines by itself."""

    def heading(self, *parts: str) -> str:
        """A column's heading, each part on a line of its own."""
        width = self.heading_width
        lines = [line for part in parts for line in (textwrap.wrap(part, width) if width else [part])]
        return self.line_break.join(self.text(line) for line in lines)

    def text(self, text: str) -> str:
        """Text with the form's special characters escaped."""
        return text

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
        return text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")

    def best(self, text: str) -> str:
        return f"**{text}**"

    def marks(self, marks: tuple[str, ...]) -> str:
        return f" <sup>{','.join(marks)}</sup>" if marks else ""

    def link(self, text: str, address: str) -> str:
        return f"[{self.text(text)}]({address})"


class Latex(Markup):
    """LaTeX with adjustbox, booktabs, makecell and hyperref."""

    line_break = r" \\ "

    def text(self, text: str) -> str:
        return text.translate(_LATEX)

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
        return html.escape(text)

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
        """``71.3``; a negative number with a minus sign, not a hyphen."""
        return f"{value:.{self.decimals}f}".replace("-", MINUS)

    def signed(self, value: float) -> str:
        """``+0.4``; ``0.0`` has no sign."""
        text = f"{value:+.{self.decimals}f}".replace("-", MINUS)
        return text[1:] if float(f"{value:.{self.decimals}f}") == 0 else text
