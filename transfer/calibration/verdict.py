"""Finds released models on this disk, and judges whether their measured numbers are the published ones."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from crossmae.errors import UserError
from results.record import RecordError
from results.store import read_record
from transfer.calibration.registry import Released
from transfer.harness.folder.state import states_of
from transfer.harness.plan.lineage import digest_of_file
from transfer.harness.plan.plan import Run

REPRODUCED = "reproduced"
ABSENT = "not on disk"


@dataclass(frozen=True)
class Candidate:
    """A released model and the file that was found for it."""

    model: Released
    file: Path | None
    digest: str = ""
    """The file's digest by the published algorithm; empty if none was published."""

    @property
    def is_original(self) -> bool:
        """Whether the file is there and its digest, if one was published, is the published one."""
        _, _, published = (self.model.digest or "").partition(":")
        return self.file is not None and self.digest.startswith(published)


def look_for(models: list[Released], folder: Path, cache: Path) -> list[Candidate]:
    """Returns one candidate per model; digests are kept in the file ``cache``.

    Raises:
        UserError: there is no such folder.
    """
    if not folder.is_dir():
        raise UserError(f"no folder {folder}", "give the one that the released files were downloaded to")
    return [_candidate(model, folder, cache) for model in models]


def _candidate(model: Released, folder: Path, cache: Path) -> Candidate:
    named = sorted(path for path in folder.rglob(Path(model.file).name) if path.match(model.file))
    if not named:
        return Candidate(model, None)
    algorithm, colon, _ = (model.digest or "").partition(":")
    return Candidate(model, named[0], digest_of_file(named[0], cache, algorithm) if colon else "")


@dataclass(frozen=True)
class CalibrationVerdict:
    """The verdict on one metric of one model: ``text`` in a word or two, ``reason`` where there is more to say."""

    model: str
    metric: str
    expected: float
    band: float
    measured: float | None
    text: str
    reason: str = ""


def judge(candidates: Iterable[Candidate], runs: Mapping[str, Run]) -> list[CalibrationVerdict]:
    """Judges all metrics of all candidates, whose runs (by model name) have ended."""
    return [verdict for candidate in candidates for verdict in _verdicts(candidate, runs.get(candidate.model.name))]


def _verdicts(candidate: Candidate, run: Run | None) -> Iterator[CalibrationVerdict]:
    model = candidate.model
    measured = {} if run is None else _metrics(run.folder)
    for metric, expected in model.numbers().items():
        text, reason = _judge(candidate, run, expected, measured.get(metric))
        yield CalibrationVerdict(model.name, metric, expected, model.band, measured.get(metric), text, reason)


def _judge(candidate: Candidate, run: Run | None, expected: float, measured: float | None) -> tuple[str, str]:
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
    try:
        return read_record(folder).metrics
    except RecordError:  # None, or a damaged one: states_of says which.
        return {}


def table_of(verdicts: Iterable[CalibrationVerdict]) -> Table:
    """Returns a table with one row per metric."""
    table = Table("model", "metric", "expected", "measured", "band", "verdict")
    for verdict in verdicts:
        decimals = 2 if verdict.band >= 0.1 else 3
        measured = "" if verdict.measured is None else f"{verdict.measured:.{decimals}f}"
        names = escape(verdict.model), escape(verdict.metric)
        table.add_row(*names, f"{verdict.expected:.{decimals}f}", measured, f"±{verdict.band:g}", verdict.text)
    return table


def conclusion(verdicts: Iterable[CalibrationVerdict]) -> tuple[str, bool]:
    """Sums the verdicts up in one line, and says whether every model on disk is reproduced."""
    models: dict[str, list[CalibrationVerdict]] = {}
    for verdict in verdicts:
        if verdict.text != ABSENT:
            models.setdefault(verdict.model, []).append(verdict)
    good = sum(all(verdict.text == REPRODUCED for verdict in metrics) for metrics in models.values())
    if not models:
        return "none of the released models is on disk; nothing was calibrated", False
    if good < len(models):
        return f"this installation does NOT reproduce {len(models) - good} of {len(models)} released models", False
    return f"this installation reproduces the published numbers of all {good} released models on disk", True
