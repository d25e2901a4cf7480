"""The end of a log."""

import os
from pathlib import Path


def last_lines(path: Path, count: int) -> list[str]:
    """The last ``count`` lines that are not blank, read from the file's end; none if there is no file."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 65536))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    # Progress bars overwrite their line with carriage returns: what counts is what stands there at the end.
    lines = [line.rstrip().rpartition("\r")[2] for line in text.splitlines()]
    return [line for line in lines if line.strip()][-count:]
