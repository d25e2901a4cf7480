"""One run of the page: what it measured, its failed tries, its learning curves and the end of its log."""

from collections import defaultdict
from itertools import islice
from pathlib import Path
from typing import Any

from crossmae.errors import UserError, one_line
from crossmae.run.progress import ProgressFile, metrics_of
from results.record import RecordError
from results.report.curves import thinned
from results.store import read_record
from transfer.harness.folder.attempts import attempts_of
from transfer.harness.folder.pace import last_lines
from transfer.live.seen import bounded, entries_of

_LINES, _LINE = 200, 1000
_CURVES = 12
"""A run's own metrics are fewer; a stranger's file may name thousands."""


def detail_of(folder: Path) -> dict[str, Any]:
    """Plain values for the page; every text is printable and of bounded length.

    A folder that holds nothing yet, or whose files are links, has a ``problem`` and nothing else.
    """
    try:
        entries_of(folder)
        record = read_record(folder) if (folder / "record.json").exists() else None
    except RecordError as error:
        return {**_of_any(folder), "problem": bounded(one_line(error))}
    except FileNotFoundError:
        return {"problem": "it has not begun"}
    except (UserError, OSError) as error:
        return {"problem": bounded(one_line(error))}
    if record is None:
        return _of_any(folder)
    facts = [
        *((name, f"{value:.4g}") for name, value in record.metrics.items()),
        ("recipe", record.recipe.name),
        ("deviations", "; ".join(record.all_deviations) or "none"),
        ("device-hours", f"{record.cost.device_hours:.3f}"),
        ("finished", record.provenance.finished),
    ]
    return {**_of_any(folder), "facts": [[bounded(name), bounded(text, _LINE)] for name, text in facts]}


def _of_any(folder: Path) -> dict[str, Any]:
    """What a run has, finished or not."""
    return {
        "attempts": [bounded(attempt.reason, _LINE) for attempt in attempts_of(folder).read],
        "curves": _curves(folder),
        "log": [bounded(line, _LINE) for line in last_lines(folder / "log.txt", _LINES)],
    }


def _curves(folder: Path) -> list[dict[str, Any]]:
    """Steps and values of each metric, the loss first."""
    points: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for report in ProgressFile(folder).read():
        for name, value in metrics_of(report).items():
            points[name].append((report["step"], value))
    drawn = ((name, thinned(points[name])) for name in sorted(points, key=lambda name: (name != "loss", name)))
    curves = ((name, series) for name, series in drawn if len(series) > 1)
    return [{"name": bounded(name), "points": series} for name, series in islice(curves, _CURVES)]
