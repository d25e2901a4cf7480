"""``run_all``: prepare, run, and tell."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from rich.console import Console

from crossmae.errors import UserError
from crossmae.run.lock import hold_folder
from transfer.harness.folder.expected import read_expected
from transfer.harness.folder.logs import last_lines
from transfer.harness.folder.request import end_try
from transfer.harness.folder.requests import request_maker
from transfer.harness.folder.state import State, states_of
from transfer.harness.launch.choose import Place
from transfer.harness.launch.launcher import Launcher
from transfer.harness.launch.scheduler import Campaign, drive
from transfer.harness.plan.data_roots import DataRoots
from transfer.harness.plan.options import Setting
from transfer.harness.plan.plan import Run
from transfer.harness.plan.suite import Suite
from transfer.harness.preflight.check import check_runs
from transfer.harness.preflight.disk import disk_problems
from transfer.harness.show.collect import collect
from transfer.harness.show.live import watching

EXIT_INTERRUPTED = 130
_LOG_LINES = 5


@dataclass(frozen=True)
class Benchmark:
    """Everything that one call of ``run_all`` works on."""

    suite: Suite
    runs: list[Run]
    out: Path
    roots: DataRoots
    task_folders: tuple[Path, ...]
    launcher: Launcher
    console: Console

    @classmethod
    def of(cls, setting: Setting, place: Place, command: str, console: Console) -> Self:
        """The benchmark that ``setting`` describes, on the devices of ``place``.

        Raises:
            UserError: an option that is wrong.
        """
        suite, runs, roots = setting.load()
        request_of = request_maker(roots, setting.task_folders, command, read_expected(setting.out))
        return cls(suite, runs, setting.out, roots, setting.task_folders, place.launcher(request_of), console)

    def run(self) -> int:
        """Runs what is missing or failed; returns the exit code.

        Raises:
            UserError: another controller works on the same folder, or no run could start or finish here.
        """
        with hold_folder(self.out):
            open_runs = [status.run for status in states_of(self.runs) if status.state is not State.DONE]
            if not open_runs:
                self._say(f"nothing to do: all {len(self.runs)} runs are done")
                return self._collect()
            campaign = self._drive(open_runs)
            unwritten = self._collect()
        return self._verdict(campaign) or unwritten

    def dry_run(self) -> int:
        """Prints the command of each run that is not done."""
        for status in states_of(self.runs):
            if status.state is not State.DONE:
                self._say(self.launcher.command(status.run))
        return 0

    def _drive(self, open_runs: list[Run]) -> Campaign:
        if problems := [*disk_problems(self.out, open_runs), *self.launcher.problems(open_runs)]:
            raise UserError("\n".join(problems))
        bad = _refuse(check_runs(open_runs, self.roots, self.task_folders, self._say))
        with watching(self.console, self.launcher.place) as view:
            for reason in sorted({*bad.values()}):
                view.note(f"not started: {reason}")
            return drive(self.runs, bad, self.launcher, view)

    def _collect(self) -> int:
        try:
            collect(self.out, self.suite, self.runs, self.console)
        except OSError as error:
            self._say(f"the tables could not be written: {error}; mend that and run the same command again")
            return 1
        return 0

    def _verdict(self, campaign: Campaign) -> int:
        for run in self.runs:
            if run.folder in campaign.failed:
                self._say(f"FAILED {run.title}: {campaign.failed[run.folder]}")
                log = run.folder / "log.txt"
                for line in last_lines(log, _LOG_LINES):
                    if line != campaign.failed[run.folder]:  # The run says its reason last.
                        self._say(f"    {line}")
                self._say(f"    log: {log}")
        if campaign.stops:
            self._say("stopped; the same command goes on from here")
            return EXIT_INTERRUPTED
        return 1 if campaign.failed else 0

    def _say(self, line: str) -> None:
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)


def _refuse(problems: Mapping[Path, list[str]]) -> dict[Path, str]:
    """Runs whose data, engine or weights would fail them count as failed tries, with all reasons in one line."""
    bad = {folder: " | ".join(found) for folder, found in problems.items()}
    for folder, reason in bad.items():
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            end_try(folder, reason, None, retryable=False)
    return bad
