"""What a run's folder was started with, and how the values of a new start differ."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from crossmae.errors import UserError
from crossmae.files import write_json


def claim(folder: Path, identity: Mapping[str, Any]) -> None:
    """Writes ``identity`` into a new run's folder, or compares it with what an earlier start wrote there.

    Raises:
        UserError: the folder was started with other values; the line names them.
    """
    path = folder / "identity.json"
    wanted = json.loads(json.dumps(identity))
    if not path.exists():
        write_json(wanted, path)
        return
    if changes := list(_changes(json.loads(path.read_text()), wanted, "")):
        raise UserError(
            f"{folder.parent} was started with another recipe: {'; '.join(changes)}. "
            "Choose another folder, or the old values to go on"
        )


def _changes(before: Any, now: Any, name: str) -> Iterator[str]:
    if isinstance(before, dict) and isinstance(now, dict):
        for key in sorted(before.keys() | now.keys()):
            yield from _changes(before.get(key), now.get(key), f"{name}.{key}" if name else key)
    elif before != now:
        yield f"{name} {before} -> {now}"
