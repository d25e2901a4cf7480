"""What one sees while runs run: a live table on a terminal, plain lines elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.table import Table

from transfer.harness.folder.pace import Pace, pace_of
from transfer.harness.launch.scheduler import Campaign, View
from transfer.harness.plan.plan import Run

_PLAIN_EVERY = 30.0
Place = Callable[[Run], str]


@contextmanager
def watching(console: Console, place: Place) -> Iterator[View]:
    """The view that fits ``console``."""
    if not console.is_terminal:
        yield PlainView(console, place)
        return
    with Live(console=console, refresh_per_second=2, transient=True) as live:
        yield LiveView(live, place)


class PlainView:
    """A line for each thing that happens, and now and then one for each run that goes on."""

    def __init__(self, console: Console, place: Place) -> None:
        self._console = console
        self._place = place
        self._shown = time.monotonic()

    def show(self, state: Campaign) -> None:
        """A line for each running run, every half minute."""
        if time.monotonic() - self._shown < _PLAIN_EVERY:
            return
        self._shown = time.monotonic()
        for run in state.running:
            pace = pace_of(run.folder)
            self.note(f"{run.title} [{self._place(run)}] {_sentence(pace)}")

    def note(self, line: str) -> None:
        """The line, with the time."""
        self._console.print(f"{time.strftime('%H:%M:%S')} {line}", markup=False, highlight=False, soft_wrap=True)


class LiveView:
    """A table of the running runs that renews itself, under the lines of what happened."""

    def __init__(self, live: Live, place: Place) -> None:
        self._live = live
        self._place = place

    def show(self, state: Campaign) -> None:
        """Renews the table."""
        self._live.update(running_table(state, self._place))

    def note(self, line: str) -> None:
        """The line, above the table."""
        self._live.console.print(f"{time.strftime('%H:%M:%S')} {line}", markup=False, highlight=False)


def running_table(state: Campaign, place: Place) -> Table:
    """One row for each running run."""
    counts = f"{len(state.done)} done, {len(state.running)} running, {len(state.waiting)} waiting"
    table = Table(title=f"{counts}, {len(state.failed)} failed", title_justify="left")
    for column in ("task", "backbone", "seed", "device", "progress", "steps/s", "left", "last metric"):
        table.add_column(column)
    for run in state.running:
        table.add_row(run.task.name, run.backbone, str(run.seed), place(run), *_cells(run))
    return table


def _cells(run: Run) -> tuple[str, str, str, str]:
    pace = pace_of(run.folder)
    if pace is None:
        return "starting", "", "", ""
    return f"{pace.share:.0%} {pace.step}/{pace.total}", f"{pace.rate:.1f}", _clock(pace.seconds_left), pace.metric


def _sentence(pace: Pace | None) -> str:
    if pace is None:
        return "is starting"
    left = f", {_clock(pace.seconds_left)} left" if pace.seconds_left is not None else ""
    return f"{pace.share:.0%} (step {pace.step} of {pace.total}{left}) {pace.metric}"


def _clock(seconds: float | None) -> str:
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
