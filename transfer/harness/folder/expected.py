"""What runs are expected to take, by run identity, kept in ``<out>/estimate.json``."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from crossmae.files import write_json


@dataclass(frozen=True)
class Expected:
    """What one run is expected to take."""

    device_hours: float
    bytes_on_disk: int


def read_expected(out: Path) -> dict[str, Expected]:
    """What ``transfer estimate`` left; empty if it was never called."""
    try:
        content = json.loads((out / "estimate.json").read_text())
        return {identity: Expected(**values) for identity, values in content.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def write_expected(out: Path, estimates: Mapping[str, Expected]) -> None:
    """Adds ``estimates`` to those that are there."""
    content = {identity: asdict(one) for identity, one in {**read_expected(out), **estimates}.items()}
    write_json(content, out / "estimate.json")
