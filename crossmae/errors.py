"""The one error that a user is meant to read, and how any error is put into one line."""


class UserError(Exception):
    """Something that the user can mend; command lines print it in one line without a traceback.

    Args:
        what: what is wrong, with the name of the file, the option or the value.
        remedy: what to do about it, if there is something to do.
    """

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(what, remedy)
        self.what = what
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.what}; {self.remedy}" if self.remedy else self.what


def one_line(error: BaseException, limit: int | None = None) -> str:
    """The message of ``error`` in one line of at most ``limit`` characters; never empty.

    An error of the operating system becomes the file that it was about and the reason. Names of files and what they
    hold may be part of it, so that it is ``printable``.
    """
    if isinstance(error, OSError) and error.filename is not None:
        text = f"{error.filename}: {error.strerror}"
    else:
        text = " ".join(str(error).split()) or type(error).__name__
    text = printable(text)
    return text if limit is None or len(text) <= limit else f"{text[: limit - 3]}..."


def printable(text: str) -> str:
    """``text`` without control characters, marks that reorder text, and characters that UTF-8 cannot hold.

    Line breaks and tabs become spaces. A terminal obeys escape sequences, wherever they come from.
    """
    if text.isprintable():
        return text
    return "".join(character for character in map(_visible, text) if character.isprintable())


def _visible(character: str) -> str:
    return " " if character.isspace() else character
