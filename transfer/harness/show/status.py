"""Runs on the screen: all of a plan with their states and device-hours, and those that run, while they run."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from crossmae.errors import UserError, printable
from crossmae.run.lock import owner
from results.record import RecordError
from results.store import read_record
from transfer.harness.folder.attempts import seconds_in_attempts
from transfer.harness.folder.expected import Expected
from transfer.harness.folder.pace import Pace, pace_of
from transfer.harness.folder.request import read_request
from transfer.harness.folder.state import RunState, RunStatus
from transfer.harness.launch.controller import Campaign, View
from transfer.harness.plan.plan import Run
from transfer.harness.show.time_left import TimeLeft, clock

_PLAIN_EVERY = 30.0
Place = Callable[[Run], str]
_COLOURS = {
    RunState.DONE: "green",
    RunState.RUNNING: "cyan",
    RunState.QUEUED: "blue",
    RunState.FAILED: "red",
    RunState.MISSING: "white",
    RunState.BLOCKED: "yellow",
}


@dataclass(frozen=True)
class Hours:
    """Device-hours of a plan."""

    spent: float
    to_come: float
    """As far as it is known."""
    unknown: int
    """Runs to come of which nothing is known."""


def plan_table(statuses: Iterable[RunStatus], estimates: Mapping[str, Expected]) -> Table:
    """One row per run: state, device-hours so far or expected, and the reason where it cannot run."""
    table = Table(title_justify="left")
    for column in ("task", "backbone", "seed", "state", "hours", "note"):
        table.add_column(column, overflow="fold")
    for status in statuses:
        run, colour = status.run, _COLOURS[status.state]
        state = f"[{colour}]{status.state}[/{colour}]"
        hours = _hours_cell(status, estimates)
        table.add_row(run.task.name, run.backbone, str(run.seed), state, hours, shown(_note(status)))
    return table


def shown(text: str) -> str:
    """``text`` as it stands, for a cell of rich's tables: no markup, no escape sequences."""
    return escape(printable(text))


def summary(statuses: Iterable[RunStatus], estimates: Mapping[str, Expected]) -> str:
    """Counts of the states and the device-hours, in one line."""
    every = list(statuses)
    counts = [f"{sum(status.state is state for status in every)} {state}" for state in RunState]
    hours = hours_of(every, estimates)
    unknown = f" and {hours.unknown} runs of unknown length (see transfer estimate)" if hours.unknown else ""
    return f"{', '.join(counts)}; device-hours so far {hours.spent:.2f}, to come {hours.to_come:.2f}{unknown}"


def pace_line(pace: Pace | None) -> str:
    """Where a running run stands, as a sentence without its subject."""
    if pace is None:
        return "is starting"
    left = f", {clock(pace.seconds_left)} left" if pace.seconds_left is not None else ""
    return f"{pace.share:.0%} (step {pace.step} of {pace.total}{left}) {pace.metric}"


def hours_of(statuses: Iterable[RunStatus], estimates: Mapping[str, Expected]) -> Hours:
    """Spent by finished runs and by tries of others that ended, and expected for the others."""
    every = list(statuses)
    spent = sum(hours for status in every if (hours := _spent(status)) is not None)
    rest = [estimates.get(status.run.identity) for status in every if status.state is not RunState.DONE]
    estimated = [expected.device_hours for expected in rest if expected is not None]
    return Hours(spent, sum(estimated), len(rest) - len(estimated))


def _hours_cell(status: RunStatus, estimates: Mapping[str, Expected]) -> str:
    if status.state is RunState.DONE:
        hours = _spent(status)
        return "" if hours is None else f"{hours:.3f}"
    expected = estimates.get(status.run.identity)
    return "" if expected is None else f"~{expected.device_hours:.3f}"


def _spent(status: RunStatus) -> float | None:
    folder = status.run.folder
    try:
        if status.state is RunState.DONE:
            return read_record(folder).cost.device_hours
        tried = seconds_in_attempts(folder)
        return tried * read_request(folder).devices / 3600 if tried else None
    except (RecordError, UserError):
        return None


def _note(status: RunStatus) -> str:
    if status.state is not RunState.RUNNING:
        return status.reason
    pace = pace_of(status.run.folder)
    where = status.reason or owner(status.run.folder) or ""
    return where if pace is None else f"{pace.share:.0%}, step {pace.step} of {pace.total}, {pace.metric}; {where}"


@contextmanager
def watching(console: Console, place: Place, expected: Mapping[str, Expected]) -> Iterator[View]:
    """The view that fits ``console``; ``expected`` is what runs of an identity are to take, as far as it is known."""
    time_left = TimeLeft(expected)
    if not console.is_terminal:
        yield PlainView(console, place, time_left)
        return
    with Live(console=console, refresh_per_second=2, transient=True) as live:
        yield LiveView(live, place, time_left)


class PlainView:
    """A line for each thing that happens, and now and then one for each run that continues and one for all."""

    def __init__(self, console: Console, place: Place, time_left: TimeLeft) -> None:
        self._console = console
        self._place = place
        self._time_left = time_left
        self._shown = time.monotonic()

    def show(self, state: Campaign) -> None:
        """A line for each running run and one for the benchmark, every half minute."""
        if time.monotonic() - self._shown < _PLAIN_EVERY:
            return
        self._shown = time.monotonic()
        for run in state.running:
            pace = pace_of(run.folder)
            self.note(f"{run.title} [{self._place(run)}] {pace_line(pace)}")
        self.note(f"{_counts(state)}; {self._time_left.sentence(state)}")

    def note(self, line: str) -> None:
        """The line, with the time."""
        self._console.print(
            f"{time.strftime('%H:%M:%S')} {printable(line)}", markup=False, highlight=False, soft_wrap=True
        )


class LiveView:
    """A table of the running runs that renews itself, under the lines of what happened."""

    def __init__(self, live: Live, place: Place, time_left: TimeLeft) -> None:
        self._live = live
        self._place = place
        self._time_left = time_left

    def show(self, state: Campaign) -> None:
        """Renews the table."""
        self._live.update(running_table(state, self._place, self._time_left.sentence(state)))

    def note(self, line: str) -> None:
        """The line, above the table."""
        self._live.console.print(f"{time.strftime('%H:%M:%S')} {printable(line)}", markup=False, highlight=False)


def running_table(state: Campaign, place: Place, time_left: str) -> Table:
    """One row for each running run, under the counts of all and the time that is left."""
    table = Table(title=f"{_counts(state)}; {time_left}", title_justify="left")
    for column in ("task", "backbone", "seed", "device", "progress", "steps/s", "left", "last metric"):
        table.add_column(column)
    for run in state.running:
        table.add_row(run.task.name, run.backbone, str(run.seed), *map(shown, (place(run), *_cells(run))))
    return table


def _counts(state: Campaign) -> str:
    counts = f"{len(state.done)} done, {len(state.running)} running, {len(state.waiting)} waiting"
    return f"{counts}, {len(state.failed)} failed"


def _cells(run: Run) -> tuple[str, str, str, str]:
    pace = pace_of(run.folder)
    if pace is None:
        return "starting", "", "", ""
    left = "" if pace.seconds_left is None else clock(pace.seconds_left)
    return f"{pace.share:.0%} {pace.step}/{pace.total}", f"{pace.rate:.1f}", left, pace.metric
