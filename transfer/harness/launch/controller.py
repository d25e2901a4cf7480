"""Drives a plan to its end: starts what can start, retries what a retry can mend, until nothing is left to do."""

import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Protocol

from crossmae.errors import UserError
from crossmae.run.stop import EXIT_RESUME, signals_to_answer
from transfer.harness.folder.request import Request
from transfer.harness.folder.state import RunState, states_of
from transfer.harness.launch.launcher import Ended, Launcher
from transfer.harness.plan.plan import Run

RETRIES = 2
RESUMES = 100
"""Times that a run may save and ask to be resumed; each of them is progress, unlike a retry."""
_BREATH = 0.2


class View(Protocol):
    """Where the controller reports what happens."""

    def show(self, state: "Campaign") -> None:
        """Called several times a second."""
        ...

    def note(self, line: str) -> None:
        """Something that happened."""
        ...


@dataclass
class Campaign:
    """What the controller knows of its runs; all of it can be read again from the run folders."""

    waiting: list[Run]
    running: list[Run] = field(default_factory=list)
    done: list[Run] = field(default_factory=list)
    failed: dict[Path, str] = field(default_factory=dict)
    tries: Counter[Path] = field(default_factory=Counter)
    resumes: Counter[Path] = field(default_factory=Counter)
    stops: int = 0
    """How many times the user asked to stop: once to save, twice to leave at once."""


def drive(
    runs: list[Run],
    requests: Mapping[Path, Request],
    bad: Mapping[Path, str],
    launcher: Launcher,
    view: View,
    keep: Callable[[], None],
) -> Campaign:
    """Runs everything in ``runs`` that is not done.

    Args:
        requests: what the process of each of these runs reads, by run folder.
        bad: runs that count as failed from the start, folder to reason.
        keep: is called all the time, and raises UserError if another controller has taken over.
    """
    finished = {status.run.folder for status in states_of(runs) if status.state is RunState.DONE}
    waiting = [run for run in runs if run.folder not in finished and run.folder not in bad]
    campaign = Campaign(waiting, done=[run for run in runs if run.folder in finished], failed=dict(bad))
    for run in launcher.adopt(waiting):
        campaign.waiting.remove(run)
        campaign.running.append(run)
        view.note(f"{run.title} continues, {launcher.place(run)}")
    with _counting_stops(campaign):
        answered = 0
        while campaign.running or (campaign.waiting and not campaign.stops):
            if campaign.stops > answered:
                answered = campaign.stops
                _stop(answered, launcher, view)
            if not campaign.stops:
                _keep(keep, campaign, view)
            _step(campaign, requests, launcher, view)
            view.show(campaign)
            time.sleep(_BREATH)
    return campaign


def _keep(keep: Callable[[], None], campaign: Campaign, view: View) -> None:
    try:
        keep()
    except UserError as error:
        view.note(str(error))
        campaign.stops += 1


def _stop(times: int, launcher: Launcher, view: View) -> None:
    if times == 1:
        view.note(f"stopping: {launcher.stop()}")
    else:
        launcher.kill()


def _step(campaign: Campaign, requests: Mapping[Path, Request], launcher: Launcher, view: View) -> None:
    for ended in launcher.poll():
        campaign.running.remove(ended.run)
        view.note(_settle(campaign, ended))
    _give_up_blocked(campaign, view)
    done = {run.folder for run in campaign.done}
    for run in list(campaign.waiting):
        if campaign.stops:
            return
        if run.needs is None or run.needs.folder in done:
            _start(campaign, run, requests[run.folder], launcher, view)


def _start(campaign: Campaign, run: Run, request: Request, launcher: Launcher, view: View) -> None:
    try:
        if not launcher.start(run, request):
            return
    except (OSError, UserError) as error:  # A full disk, or Slurm's refusal: other runs may still start.
        campaign.failed[run.folder] = f"could not be started: {error}"
        view.note(f"failed {run.title}: {campaign.failed[run.folder]}")
    else:
        campaign.running.append(run)
        view.note(f"started {run.title} on {launcher.place(run)}; log: {run.folder / 'log.txt'}")
    campaign.waiting.remove(run)


def _settle(campaign: Campaign, ended: Ended) -> str:
    """Files an ended run under done, failed or waiting, and reports it in a line."""
    run = ended.run
    if not ended.exit_code:
        campaign.done.append(run)
        return f"done {run.title}"
    if campaign.stops:
        campaign.waiting.insert(0, run)
        return f"stopped {run.title}: {ended.reason}"
    if ended.exit_code == EXIT_RESUME and campaign.resumes[run.folder] < RESUMES:
        campaign.resumes[run.folder] += 1
        campaign.waiting.insert(0, run)
        return f"{run.title} asks to be resumed: {ended.reason}"
    if ended.retryable and campaign.tries[run.folder] < RETRIES:
        campaign.tries[run.folder] += 1
        campaign.waiting.insert(0, run)
        return f"again {run.title} (retry {campaign.tries[run.folder]} of {RETRIES}): {ended.reason}"
    campaign.failed[run.folder] = ended.reason
    return f"failed {run.title}: {ended.reason}"


def _give_up_blocked(campaign: Campaign, view: View) -> None:
    for run in list(campaign.waiting):
        if run.needs is not None and run.needs.folder in campaign.failed:
            campaign.waiting.remove(run)
            campaign.failed[run.folder] = f"what it needs is missing: {run.needs.title} failed"
            view.note(f"blocked {run.title}: {campaign.failed[run.folder]}")


def _stops() -> Iterator[signal.Signals]:
    return (number for number in signals_to_answer() if number not in (signal.SIGUSR1, signal.SIGUSR2))


@contextmanager
def _counting_stops(campaign: Campaign) -> Iterator[None]:
    """A signal is only counted here: it may come in the middle of a line on the screen."""

    def count(number: int, frame: FrameType | None) -> None:
        campaign.stops += 1

    before = {number: signal.signal(number, count) for number in _stops()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
