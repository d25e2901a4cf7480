"""The plan as a table: one row per task and backbone, with the state of its runs and what they cost."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from rich.table import Table

from crossmae.errors import UserError
from crossmae.run.lock import owner
from results.record import RecordError
from results.store import read_record
from transfer.harness.folder.expected import Expected
from transfer.harness.folder.pace import pace_of
from transfer.harness.folder.request import read_request, seconds_tried
from transfer.harness.folder.state import State, Status

_COLOURS = {
    State.DONE: "green",
    State.RUNNING: "cyan",
    State.QUEUED: "blue",
    State.FAILED: "red",
    State.MISSING: "white",
    State.BLOCKED: "yellow",
}


@dataclass(frozen=True)
class Hours:
    """Device-hours of a plan."""

    spent: float
    to_come: float
    """As far as it is known."""
    unknown: int
    """Runs to come of which nothing is known."""


def plan_table(statuses: Iterable[Status], estimates: Mapping[str, Expected]) -> Table:
    """One row per run: state, device-hours so far or expected, and the reason where it cannot run."""
    table = Table(title_justify="left")
    for column in ("task", "backbone", "seed", "state", "hours", "note"):
        table.add_column(column, overflow="fold")
    for status in statuses:
        run, colour = status.run, _COLOURS[status.state]
        state = f"[{colour}]{status.state}[/{colour}]"
        hours = _hours_cell(status, estimates)
        table.add_row(run.task.name, run.backbone, str(run.seed), state, hours, _note(status))
    return table


def summary(statuses: Iterable[Status], estimates: Mapping[str, Expected]) -> str:
    """Counts of the states and the device-hours, in one line."""
    every = list(statuses)
    counts = [f"{sum(one.state is state for one in every)} {state}" for state in State]
    hours = hours_of(every, estimates)
    unknown = f" and {hours.unknown} runs of unknown length (see transfer estimate)" if hours.unknown else ""
    return f"{', '.join(counts)}; device-hours so far {hours.spent:.2f}, to come {hours.to_come:.2f}{unknown}"


def hours_of(statuses: Iterable[Status], estimates: Mapping[str, Expected]) -> Hours:
    """Spent by finished runs and by tries of others that ended, and expected for the others."""
    every = list(statuses)
    spent = sum(hours for one in every if (hours := _spent(one)) is not None)
    rest = [estimates.get(one.run.identity) for one in every if one.state is not State.DONE]
    known = [expected.device_hours for expected in rest if expected is not None]
    return Hours(spent, sum(known), len(rest) - len(known))


def _hours_cell(status: Status, estimates: Mapping[str, Expected]) -> str:
    if status.state is State.DONE:
        hours = _spent(status)
        return "" if hours is None else f"{hours:.3f}"
    expected = estimates.get(status.run.identity)
    return "" if expected is None else f"~{expected.device_hours:.3f}"


def _spent(status: Status) -> float | None:
    folder = status.run.folder
    try:
        if status.state is State.DONE:
            return read_record(folder).cost.device_hours
        tried = seconds_tried(folder)
        return tried * read_request(folder).devices / 3600 if tried else None
    except (RecordError, UserError):
        return None


def _note(status: Status) -> str:
    if status.state is not State.RUNNING:
        return status.reason
    pace = pace_of(status.run.folder)
    where = status.reason or owner(status.run.folder) or ""
    return where if pace is None else f"{pace.share:.0%}, step {pace.step} of {pace.total}, {pace.metric}; {where}"
