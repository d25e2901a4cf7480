"""How long a benchmark still takes, from what its own finished runs took, else from ``transfer estimate``."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from results.record import RecordError
from results.store import read_record
from transfer.harness.folder.expected import Expected
from transfer.harness.folder.pace import LONGEST, pace_of
from transfer.harness.launch.controller import Campaign
from transfer.harness.plan.plan import Run

Kind = tuple[str, str]
"""Task and hash of a recipe: runs of one kind take about as long as each other."""


class Durations:
    """What a run takes: what the finished ones of its kind took on average, else what ``transfer estimate`` expects."""

    def __init__(self, expected: Mapping[str, Expected]) -> None:
        self._expected = expected
        self._taken: dict[Kind, list[float]] = {}

    def add(self, kind: Kind, seconds: float) -> None:
        """Notes what a finished run took."""
        self._taken.setdefault(kind, []).append(seconds)

    def of(self, kind: Kind, identity: str, devices: int) -> float | None:
        """Seconds of a whole run; None if nothing is known."""
        if taken := self._taken.get(kind):
            seconds = sum(taken) / len(taken)
        elif expected := self._expected.get(identity):
            seconds = expected.device_hours * 3600 / devices
        else:
            return None
        return seconds if seconds < LONGEST else None


class TimeLeft:
    """The seconds until the last run ends, asked again and again while a benchmark goes on."""

    def __init__(self, expected: Mapping[str, Expected]) -> None:
        self._durations = Durations(expected)
        self._read: set[Path] = set()

    def sentence(self, state: Campaign) -> str:
        """As ``time_left``, of the runs that ``state`` names."""
        self._read_finished(state)
        paces = [(run, pace_of(run.folder)) for run in state.running]
        running = [self._whole(run) if pace is None else pace.seconds_left for run, pace in paces]
        return time_left(running, [self._whole(run) for run in state.waiting])

    def _whole(self, run: Run) -> float | None:
        return self._durations.of(_kind(run), run.identity, run.devices)

    def _read_finished(self, state: Campaign) -> None:
        for run in state.done:
            if run.folder in self._read:
                continue
            self._read.add(run.folder)
            try:
                record = read_record(run.folder)
            except RecordError:
                continue
            self._durations.add(_kind(run), record.cost.wall_seconds)


def time_left(running: Iterable[float | None], waiting: Iterable[float | None]) -> str:
    """For example ``about 12:30 left``; says how many runs are not counted since nothing is known of them.

    The runs that wait are shared among as many lanes as there are running runs, each to the lane that is free first.

    Args:
        running: seconds that each running run still takes, None where it is not known.
        waiting: seconds of each run that waits.
    """
    known, rest = list(running), list(waiting)
    unknown = sum(seconds is None for seconds in (*known, *rest))
    lanes = [seconds or 0.0 for seconds in known] or [0.0]
    for seconds in rest:
        lanes[lanes.index(min(lanes))] += seconds or 0.0
    if not unknown:
        return f"about {clock(max(lanes))} left"
    least = f"more than {clock(max(lanes))} left; " if max(lanes) else "time left is not known; "
    return f"{least}{unknown} {'run' if unknown == 1 else 'runs'} of unknown length"


def _kind(run: Run) -> Kind:
    return run.task.name, run.recipe.hash


def clock(seconds: float) -> str:
    """``M:SS``, or ``H:MM:SS`` from an hour on."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
