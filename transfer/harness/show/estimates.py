"""What a suite will take: a few real updates of each task on the hardware at hand, extrapolated.

A trial is a short but whole run, packed onto the devices as the real ones are: loading, some updates, the evaluation,
the record. What it does not see are evaluations and saved states in the middle of a long training.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from crossmae.run.progress import ProgressFile
from transfer.harness.folder.record import is_done
from transfer.harness.folder.request import read_request
from transfer.harness.plan.plan import Run
from transfer.harness.plan.suite import Suite

UPDATES = 30
EPOCHS = 0.05
_LOG_EVERY = 5


@dataclass(frozen=True)
class Estimate:
    """What one run is expected to take."""

    run: Run
    devices: int
    """Those that it asks for, or all that there are here."""
    seconds: float
    bytes_on_disk: int

    @property
    def device_hours(self) -> float:
        """As its record will count them."""
        return self.seconds * self.devices / 3600


def trial_suite(suite: Suite, runs: Iterable[Run]) -> Suite:
    """``suite`` with trainings of a few updates."""
    for run in {run.task.name: run for run in runs}.values():
        for key, value in _changes(run):
            suite = suite.override(run.task.name, f"{key}={value}")
    return suite


def distinct(trials: Iterable[Run]) -> list[Run]:
    """One trial for each task and recipe: what a run takes does not depend on the backbone's weights.

    And those that make their backbones.
    """
    kinds: dict[tuple[str, str], Run] = {}
    for trial in trials:
        kinds.setdefault(_kind(trial), trial)
    wanted = (run for trial in kinds.values() for run in (trial.needs, trial) if run is not None)
    return list({run.folder: run for run in wanted}.values())


def extrapolate(runs: Iterable[Run], trials: Iterable[Run]) -> list[Estimate]:
    """The estimate of each run, from the finished trial of its kind; ``trials`` in the order of ``runs``."""
    pairs = list(zip(runs, trials, strict=True))
    measured = {_kind(trial): trial for trial in reversed([trial for _, trial in pairs if _is_done(trial)])}
    return [_estimate(run, measured[_kind(trial)]) for run, trial in pairs if _kind(trial) in measured]


def wall_seconds(estimates: Iterable[Estimate], devices: int) -> float:
    """How long the runs take together on ``devices`` devices, each started as soon as it can, in their order."""
    now, waiting = 0.0, list(estimates)
    running: list[tuple[float, Estimate]] = []
    while waiting or running:
        to_come = {estimate.run.folder for estimate in (*waiting, *(estimate for _, estimate in running))}
        for estimate in list(waiting):
            ready = estimate.run.needs is None or estimate.run.needs.folder not in to_come
            if ready and estimate.devices <= devices - sum(other.devices for _, other in running):
                waiting.remove(estimate)
                running.append((now + estimate.seconds, estimate))
        running.sort(key=lambda pair: pair[0])
        now, _ = running.pop(0)
    return now


def _kind(trial: Run) -> tuple[str, str]:
    return trial.task.name, trial.recipe.hash


def _is_done(trial: Run) -> bool:
    return is_done(trial.folder, trial.identity)


def _estimate(run: Run, trial: Run) -> Estimate:
    elapsed = (trial.folder / "record.json").stat().st_mtime - (trial.folder / "run.json").stat().st_mtime
    whole, short = _length(run), _length(trial)
    more = _seconds_of_rest(trial, whole[1] / short[1]) if whole and short else 0.0
    size = sum(file.stat().st_size for file in trial.folder.rglob("*") if file.is_file())
    return Estimate(run, read_request(trial.folder).devices, elapsed + more, size)


def _seconds_of_rest(trial: Run, times_longer: float) -> float:
    """Seconds of the updates that the whole run has and its trial has not."""
    times = _times_by_step(trial)
    if not times:
        return 0.0
    # Before the first report lies the start, before the last a saved state; after it the evaluation.
    steps = sorted(times)
    first, timed = steps[0], steps[-2 if len(steps) > 2 else -1]
    per_update = (times[timed] - times[first]) / (timed - first) if timed > first else 0.0
    return steps[-1] * (times_longer - 1) * per_update


def _times_by_step(trial: Run) -> dict[float, float]:
    """When each reported update was first reported."""
    return {line["step"]: line["time"] for line in reversed(ProgressFile(trial.folder).read())}


def _changes(run: Run) -> Iterator[tuple[str, float]]:
    """A short training: a warm-up that fits into it, reports often enough to be timed, two saved states as usual."""
    if length := _length(run):
        unit, count = length
        yield unit, min(UPDATES if unit == "steps" else EPOCHS, count)
        if "checkpoint_every" in run.recipe.execution and unit == "steps":
            yield "checkpoint_every", UPDATES - 1
        for warmup, short in (("warmup_steps", 1), ("warmup_epochs", EPOCHS / 5)):
            if run.recipe.protocol.get(warmup):
                yield warmup, short
    if "log_every" in run.recipe.execution:
        yield "log_every", _LOG_EVERY


def _length(run: Run) -> tuple[str, float] | None:
    """How long training is: the unit and its count, ``steps`` where they are given, else ``epochs``."""
    values = ((unit, run.recipe.protocol.get(unit)) for unit in ("steps", "epochs"))
    return next(((unit, count) for unit, count in values if count is not None), None)
