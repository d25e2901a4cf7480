"""How long a benchmark still takes, from what its own finished runs took, else from ``transfer estimate``."""

from collections.abc import Mapping
from pathlib import Path

from results.record import RecordError
from results.store import read_record
from transfer.harness.folder.expected import Expected
from transfer.harness.folder.pace import pace_of
from transfer.harness.launch.controller import Campaign
from transfer.harness.plan.plan import Run

_Kind = tuple[str, str]


class TimeLeft:
    """The seconds until the last run ends, asked again and again while a benchmark goes on.

    A run takes what the runs of the same task and recipe took on average, else what ``transfer estimate`` expects. The
    runs that wait are shared among as many lanes as there are running runs, each to the lane that is free first.
    """

    def __init__(self, expected: Mapping[str, Expected]) -> None:
        self._expected = expected
        self._taken: dict[_Kind, list[float]] = {}
        self._read: set[Path] = set()

    def sentence(self, state: Campaign) -> str:
        """For example ``about 12:30 left``; says how many runs are not counted since nothing is known of them."""
        self._read_finished(state)
        lanes, unknown = [], 0
        for run in state.running:
            pace = pace_of(run.folder)
            seconds = self._whole(run) if pace is None else pace.seconds_left
            lanes.append(seconds or 0.0)
            unknown += seconds is None
        lanes = lanes or [0.0]
        for run in state.waiting:
            seconds = self._whole(run)
            if seconds is None:
                unknown += 1
            else:
                lanes[lanes.index(min(lanes))] += seconds
        if not unknown:
            return f"about {clock(max(lanes))} left"
        known = f"more than {clock(max(lanes))} left; " if max(lanes) else "time left is not known; "
        return f"{known}{unknown} {'run' if unknown == 1 else 'runs'} of unknown length"

    def _whole(self, run: Run) -> float | None:
        if taken := self._taken.get(_kind(run)):
            return sum(taken) / len(taken)
        expected = self._expected.get(run.identity)
        return None if expected is None else expected.device_hours * 3600 / run.devices

    def _read_finished(self, state: Campaign) -> None:
        for run in state.done:
            if run.folder in self._read:
                continue
            self._read.add(run.folder)
            try:
                record = read_record(run.folder)
            except RecordError:
                continue
            self._taken.setdefault(_kind(run), []).append(record.cost.wall_seconds)


def _kind(run: Run) -> _Kind:
    return run.task.name, run.recipe.hash


def clock(seconds: float) -> str:
    """``M:SS``, or ``H:MM:SS`` from an hour on."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
