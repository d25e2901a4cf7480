"""A run folder's files: what was asked for (``run.json``), and the tries that did not finish (``attempts/``)."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from crossmae.errors import UserError
from crossmae.files import write_json
from crossmae.recipe import Recipe
from results.record import Attempt
from results.store import read_attempts, write_attempt
from transfer.task import TaskSpec


@dataclass(frozen=True)
class Request:
    """``run.json``: everything that a run's own process needs to know."""

    identity: str
    task: TaskSpec
    recipe: Recipe
    backbone: str
    source: str | None
    lineage: Mapping[str, Any]
    seed: int
    data_root: str | None
    task_folders: tuple[str, ...]
    """Where users' adapters lie."""
    devices: int
    precision: str
    """``fp32``, ``bf16`` or ``auto``."""
    deviations: tuple[str, ...]
    command: str
    estimated_device_hours: float | None = None
    weights: str | None = None
    """A finished model, which is evaluated and not trained."""


def write_request(folder: Path, request: Request) -> None:
    """Writes ``folder/run.json``, whole or not at all."""
    write_json(asdict(request), folder / "run.json")


def read_request(folder: Path) -> Request:
    """The inverse of ``write_request``.

    Raises:
        UserError: there is no readable ``run.json``.
    """
    try:
        content = json.loads((folder / "run.json").read_text())
        task = TaskSpec.from_dict(content["task"])
        recipe = Recipe(**{**content["recipe"], "deviations": tuple(content["recipe"]["deviations"])})
        tuples = {name: tuple(content[name]) for name in ("task_folders", "deviations")}
        return Request(**{**content, **tuples, "task": task, "recipe": recipe})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{folder} holds no readable run.json ({error}); start runs by run_all") from error


def begin_try(folder: Path, command: str) -> None:
    """Notes that a process works on this run; a note left by one that was killed becomes an attempt first."""
    if (folder / "session.json").exists():
        end_try(
            folder, "ended without a word: killed, or its machine went down", None, retryable=True, at=heartbeat(folder)
        )
    content = {"started": now(), "command": command}
    (folder / "session.json").write_text(json.dumps(content))


def end_try(folder: Path, reason: str, exit_code: int | None, retryable: bool, at: float | None = None) -> None:
    """Turns the note of ``begin_try`` (if there is one) into ``attempts/N.json``."""
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


def seconds_tried(folder: Path) -> float:
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
