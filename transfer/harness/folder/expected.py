"""What runs are expected to take, by run identity, kept in ``<out>/estimate.json``."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from crossmae.errors import UserError
from crossmae.files import write_json
from crossmae.parsing import CountOrZero, NotNegative, Strict, parse_file


@dataclass(frozen=True)
class Expected(Strict):
    """What one run is expected to take."""

    device_hours: NotNegative
    bytes_on_disk: CountOrZero


def read_expected(out: Path) -> dict[str, Expected]:
    """What ``transfer estimate`` left; empty if it was never called."""
    try:
        return parse_file(dict[str, Expected], out / "estimate.json")
    except UserError:
        return {}


def write_expected(out: Path, estimates: Mapping[str, Expected]) -> None:
    """Adds ``estimates`` to those that are there."""
    content = {identity: asdict(expected) for identity, expected in {**read_expected(out), **estimates}.items()}
    write_json(content, out / "estimate.json")
