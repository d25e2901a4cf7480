"""Whether what was measured is what was published."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from results.store import read_record
from transfer.calibration.disk import Candidate
from transfer.harness.folder.state import states_of
from transfer.harness.plan.plan import Run

REPRODUCED = "reproduced"
ABSENT = "not on disk"


@dataclass(frozen=True)
class Verdict:
    """One metric of one model. ``text`` is the verdict, ``reason`` a line for those that are not simply good or bad."""

    model: str
    metric: str
    expected: float
    band: float
    measured: float | None
    text: str
    reason: str = ""


def judge(candidates: Iterable[Candidate], runs: Mapping[str, Run]) -> list[Verdict]:
    """The verdicts over all metrics of all candidates, whose runs (by model name) have ended."""
    return [verdict for candidate in candidates for verdict in _verdicts(candidate, runs.get(candidate.model.name))]


def _verdicts(candidate: Candidate, run: Run | None) -> Iterator[Verdict]:
    model = candidate.model
    measured = {} if run is None else _metrics(run.folder)
    for metric, expected in model.numbers().items():
        text, reason = _say(candidate, run, expected, measured.get(metric))
        yield Verdict(model.name, metric, expected, model.band, measured.get(metric), text, reason)


def _say(candidate: Candidate, run: Run | None, expected: float, measured: float | None) -> tuple[str, str]:
    model, file = candidate.model, candidate.file
    if file is None:
        return ABSENT, f"{model.file}: {model.url}"
    if not candidate.is_original:
        return "another file", f"{file} has {candidate.digest}, published is {model.digest}; download {model.url}"
    if measured is None:
        return "no result", states_of([run])[0].reason if run else ""
    # A difference of exactly the band passes, whatever binary fractions make of it.
    return (REPRODUCED if abs(measured - expected) <= model.band + 1e-9 else "OFF"), ""


def _metrics(folder: Path) -> dict[str, float]:
    return read_record(folder).metrics if (folder / "record.json").exists() else {}


def table_of(verdicts: Iterable[Verdict]) -> Table:
    """One row per metric."""
    table = Table("model", "metric", "expected", "measured", "band", "verdict")
    for one in verdicts:
        measured = "" if one.measured is None else f"{one.measured:.2f}"
        table.add_row(one.model, one.metric, f"{one.expected:.2f}", measured, f"±{one.band:g}", one.text)
    return table


def conclusion(verdicts: Iterable[Verdict]) -> tuple[str, bool]:
    """What it comes to in one line, and whether all that is on disk is reproduced."""
    models: dict[str, list[Verdict]] = {}
    for one in verdicts:
        if one.text != ABSENT:
            models.setdefault(one.model, []).append(one)
    good = sum(all(one.text == REPRODUCED for one in metrics) for metrics in models.values())
    if not models:
        return "none of the released models is on disk; nothing was calibrated", False
    if good < len(models):
        return f"this installation does NOT reproduce {len(models) - good} of {len(models)} released models", False
    return f"this installation reproduces the published numbers of all {good} released models on disk", True
