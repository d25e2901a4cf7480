"""Attempts: what a run's processes note in its folder while they work (``session.json``) and when one fails."""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from crossmae.errors import UserError, one_line
from crossmae.files import read_regular, write_json
from crossmae.parsing import Strict, parse_json
from crossmae.run.progress import ProgressFile
from results.record import Attempt, RecordError
from results.store import write_attempt

_LATEST = 32e9
"""Seconds since the epoch, in the year 2984; a calendar ends in 9999."""


class Attempts(NamedTuple):
    """The attempts of a run that can be read, oldest first, and a line about each file that cannot."""

    read: list[Attempt]
    damaged: list[str]


@dataclass(frozen=True)
class _Session(Strict):
    """Since when which command works on a run."""

    started: str
    command: str

    def __post_init__(self) -> None:
        if datetime.fromisoformat(self.started).tzinfo is None:
            raise ValueError("no time zone")


def attempts_of(folder: Path) -> Attempts:
    """The attempts in the run folder ``folder``; damaged files are passed over."""
    files = [path for path in (folder / "attempts").glob("*.json") if path.stem.isdecimal() and path.is_file()]
    attempts = Attempts([], [])
    for path in sorted(files, key=lambda path: int(path.stem)):
        try:
            attempts.read.append(Attempt.from_json(read_regular(path), str(path)))
        except (OSError, RecordError) as error:
            attempts.damaged.append(f"{one_line(error)}; it is passed over")
    return attempts


def begin_attempt(folder: Path, command: str) -> None:
    """Notes that a process works on this run; a note left by one that was killed becomes an attempt first."""
    if (folder / "session.json").is_dir():
        raise UserError(f"{folder / 'session.json'} is a folder", "remove it")
    if (folder / "session.json").exists():
        reason = "ended without an error message: killed, or its machine went down"
        end_attempt(folder, reason, None, retryable=True, at=_last_report(folder))
    write_json(asdict(_Session(now(), command)), folder / "session.json")


def end_attempt(folder: Path, reason: str, exit_code: int | None, retryable: bool, at: float | None = None) -> None:
    """Turns the note of ``begin_attempt`` (if there is one) into ``attempts/N.json``.

    Args:
        at: when it ended, in seconds since the epoch; now by default, and never before it began.
    """
    finished = now() if at is None else _iso(at)
    session = _session(folder) or _Session(finished, "")
    write_attempt(
        folder,
        Attempt(
            reason=" ".join(reason.split())[:500],
            exit_code=exit_code,
            retryable=retryable,
            started=session.started,
            finished=max(finished, session.started, key=datetime.fromisoformat),
            command=session.command,
        ),
    )
    (folder / "session.json").unlink(missing_ok=True)


def seconds_in_attempts(folder: Path) -> float:
    """Seconds that went into attempts that did not finish; one that seems to end before it began counts as none."""
    return sum(_span(attempt) for attempt in attempts_of(folder).read)


def heartbeat(folder: Path) -> float:
    """When the run was last heard of, in seconds since the epoch; 0 if never."""
    files = (folder / name for name in ("progress.jsonl", "log.txt", "session.json"))
    return max((file.stat().st_mtime for file in files if file.exists()), default=0.0)


def now() -> str:
    """The time in ISO 8601, UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _last_report(folder: Path) -> float:
    """When the last progress was reported, by the report itself: a copied folder's files have new time stamps."""
    last = ProgressFile(folder).last()
    return min(max(last["time"], 0.0), _LATEST) if last else 0.0


def _span(attempt: Attempt) -> float:
    try:
        span = datetime.fromisoformat(attempt.finished) - datetime.fromisoformat(attempt.started)
    except (ValueError, TypeError):
        return 0.0
    return max(0.0, span.total_seconds())


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _session(folder: Path) -> _Session | None:
    """The note of ``begin_attempt``; None if there is none that can be read."""
    try:
        return parse_json(_Session, read_regular(folder / "session.json"), "session.json")
    except (OSError, UserError):
        return None
