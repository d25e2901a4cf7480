"""Fingerprints of the tasks' data as they were last seen for a folder of runs, kept in ``<out>/data.json``.

``plan`` and ``status`` start nothing and look at no data: they show the runs on the data that ``run_all`` saw last.
"""

from collections.abc import Mapping
from pathlib import Path

from crossmae.errors import UserError
from crossmae.files import write_json
from crossmae.parsing import parse_file

Fingerprints = Mapping[str, str]
"""By task name; tasks without data, or whose data cannot be listed, are left out."""


def known_data(out: Path, demo: bool) -> Fingerprints:
    """What was seen last; empty if nothing was."""
    return _read(out).get(_kind(demo), {})


def remember_data(out: Path, demo: bool, seen: Fingerprints) -> None:
    """Adds ``seen`` to what is known."""
    known = _read(out)
    changed = {**known, _kind(demo): {**known.get(_kind(demo), {}), **seen}}
    if changed != known:
        write_json(changed, out / "data.json")


def _kind(demo: bool) -> str:
    return "demo" if demo else "real"


def _read(out: Path) -> dict[str, dict[str, str]]:
    try:
        return parse_file(dict[str, dict[str, str]], out / "data.json")
    except UserError:
        return {}
