"""Whether a run is done: its ``record.json`` can be read and is that of the run."""

from pathlib import Path

from results.record import RecordError
from results.store import read_record


def is_done(folder: Path, identity: str) -> bool:
    """Whether the run in ``folder`` has a whole record of its own."""
    return (folder / "record.json").exists() and record_fault(folder, identity) is None


def record_fault(folder: Path, identity: str) -> str | None:
    """What is wrong with the record in ``folder``, in one line; None if nothing is, or if there is none."""
    path = folder / "record.json"
    if not path.exists():
        return None
    if not path.is_file():
        return f"{path} is no file"
    try:
        record = read_record(folder)
    except RecordError as error:
        return str(error)
    return None if record.identity == identity else f"{path} is the record of another run, {record.identity}"


def set_aside_damaged_record(folder: Path, identity: str) -> str | None:
    """Renames a damaged record to ``record.json.damaged-N``, so that the run can be repeated.

    Returns:
        What was wrong and where the file is now, in one line; None if nothing had to be done.
    """
    fault = record_fault(folder, identity)
    if fault is None:
        return None
    number = 1
    while (aside := folder / f"record.json.damaged-{number}").exists():
        number += 1
    (folder / "record.json").rename(aside)
    return f"{fault}; it is kept as {aside.name}, and the run is repeated"
