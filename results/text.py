"""Text from files that anybody may have written, made safe to show."""


def printable(text: str) -> str:
    """``text`` without control characters, marks that reorder text, and characters that UTF-8 cannot hold.

    Line breaks and tabs become spaces. A terminal obeys escape sequences, wherever they come from.
    """
    if text.isprintable():
        return text
    return "".join(character for character in map(_visible, text) if character.isprintable())


def _visible(character: str) -> str:
    return " " if character.isspace() else character
