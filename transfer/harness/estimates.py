"""Expected device-hours by run identity, kept in ``<out>/estimate.json``."""

import json
import os
from collections.abc import Mapping
from pathlib import Path


def read_estimates(out: Path) -> dict[str, float]:
    """What ``transfer estimate`` left; empty if it was never called."""
    try:
        content: dict[str, float] = json.loads((out / "estimate.json").read_text())
        return content
    except (OSError, ValueError):
        return {}


def write_estimates(out: Path, estimates: Mapping[str, float]) -> None:
    """Adds ``estimates`` to those that are there."""
    out.mkdir(parents=True, exist_ok=True)
    temporary = out / f".estimate.json.{os.getpid()}"
    temporary.write_text(json.dumps({**read_estimates(out), **estimates}, indent=1) + "\n")
    temporary.replace(out / "estimate.json")
