"""Attempts: what a run's processes note in its folder while they work (``session.json``) and when one fails."""

import json
from datetime import UTC, datetime
from pathlib import Path

from results.record import Attempt
from results.store import read_attempts, write_attempt


def begin_attempt(folder: Path, command: str) -> None:
    """Notes that a process works on this run; a note left by one that was killed becomes an attempt first."""
    if (folder / "session.json").exists():
        end_attempt(
            folder, "ended without a word: killed, or its machine went down", None, retryable=True, at=heartbeat(folder)
        )
    content = {"started": now(), "command": command}
    (folder / "session.json").write_text(json.dumps(content))


def end_attempt(folder: Path, reason: str, exit_code: int | None, retryable: bool, at: float | None = None) -> None:
    """Turns the note of ``begin_attempt`` (if there is one) into ``attempts/N.json``."""
    finished = now() if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
    session = _session(folder) or {"started": finished, "command": ""}
    write_attempt(
        folder,
        Attempt(
            reason=" ".join(reason.split())[:500],
            exit_code=exit_code,
            retryable=retryable,
            started=session["started"],
            finished=finished,
            command=session["command"],
        ),
    )
    (folder / "session.json").unlink(missing_ok=True)


def seconds_in_attempts(folder: Path) -> float:
    """Seconds that went into tries that did not finish."""
    spans = ((datetime.fromisoformat(a.started), datetime.fromisoformat(a.finished)) for a in read_attempts(folder))
    return sum((finished - started).total_seconds() for started, finished in spans)


def heartbeat(folder: Path) -> float:
    """When the run was last heard of, in seconds since the epoch; 0 if never."""
    files = (folder / name for name in ("progress.jsonl", "log.txt", "session.json"))
    return max((file.stat().st_mtime for file in files if file.exists()), default=0.0)


def now() -> str:
    """The time in ISO 8601, UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _session(folder: Path) -> dict[str, str] | None:
    try:
        content: dict[str, str] = json.loads((folder / "session.json").read_text())
        return content
    except (OSError, ValueError):
        return None
