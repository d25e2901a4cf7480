"""The plan as a table: one row per task and backbone, with the state of its runs and what they cost."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from rich.table import Table

from crossmae.train.lock import owner
from results.record import RecordError
from results.store import read_record
from transfer.harness.progress import pace_of
from transfer.harness.state import State, Status

_COLOURS = {
    State.DONE: "green",
    State.RUNNING: "cyan",
    State.FAILED: "red",
    State.MISSING: "white",
    State.BLOCKED: "yellow",
}


@dataclass(frozen=True)
class Hours:
    """Device-hours of a plan."""

    spent: float
    to_come: float | None
    """None if nothing is known about a run that is still to come."""


def plan_table(statuses: Iterable[Status], estimates: Mapping[str, float]) -> Table:
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


def summary(statuses: Iterable[Status], estimates: Mapping[str, float]) -> str:
    """Counts of the states and the device-hours, in one line."""
    every = list(statuses)
    counts = [f"{sum(one.state is state for one in every)} {state}" for state in State]
    hours = hours_of(every, estimates)
    to_come = "unknown (see transfer estimate)" if hours.to_come is None else f"about {hours.to_come:.2f}"
    return f"{', '.join(counts)}; device-hours so far {hours.spent:.2f}, to come {to_come}"


def hours_of(statuses: Iterable[Status], estimates: Mapping[str, float]) -> Hours:
    """Spent by finished runs, and expected for the others."""
    every = list(statuses)
    spent = sum(hours for one in every if one.state is State.DONE and (hours := _spent(one)) is not None)
    rest = [estimates.get(one.run.identity) for one in every if one.state is not State.DONE]
    known = [hours for hours in rest if hours is not None]
    return Hours(spent, sum(known) if len(known) == len(rest) else None)


def _hours_cell(status: Status, estimates: Mapping[str, float]) -> str:
    if status.state is State.DONE:
        hours = _spent(status)
        return "" if hours is None else f"{hours:.3f}"
    expected = estimates.get(status.run.identity)
    return "" if expected is None else f"~{expected:.3f}"


def _spent(status: Status) -> float | None:
    try:
        return read_record(status.run.folder).cost.device_hours
    except RecordError:
        return None


def _note(status: Status) -> str:
    if status.state is not State.RUNNING:
        return status.reason
    pace = pace_of(status.run.folder)
    where = owner(status.run.folder) or ""
    return where if pace is None else f"{pace.share:.0%}, step {pace.step} of {pace.total}, {pace.metric}; {where}"
