"""``run_all``: checks, runs, and shows the tables."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Self

from rich.console import Console

from crossmae.errors import UserError, printable
from crossmae.files import read_regular, remove_leftovers, write_text
from crossmae.run.lock import hold_folder
from results.claims.write import write_ledger
from results.classes import write_classes
from results.runs import Planned, find_runs
from results.tables.write import write_tables
from transfer.harness.folder.attempts import end_attempt
from transfer.harness.folder.expected import read_expected
from transfer.harness.folder.pace import last_lines
from transfer.harness.folder.planned import write_plan
from transfer.harness.folder.record import set_aside_damaged_record
from transfer.harness.folder.request import Request, request_for
from transfer.harness.folder.state import RunState, states_of
from transfer.harness.launch.controller import Campaign, drive
from transfer.harness.launch.launcher import Launcher
from transfer.harness.plan.data_roots import DataRoots
from transfer.harness.plan.known_data import remember_data
from transfer.harness.plan.options import BenchmarkOptions
from transfer.harness.plan.plan import Run
from transfer.harness.plan.suite import Suite
from transfer.harness.preflight.check import check_recipes, check_runs, disk_problems
from transfer.harness.preflight.data import look_at_data
from transfer.harness.show.status import watching

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
    command: str
    """The command line that asks for the runs, for their records."""
    launcher: Launcher
    console: Console
    unlisted: Mapping[Path, list[str]] = field(default_factory=dict)
    """Why the data of some runs has no fingerprint, by run folder."""

    @classmethod
    def of(
        cls, options: BenchmarkOptions, launcher: Launcher, command: str, console: Console, write: bool = True
    ) -> Self:
        """The benchmark that ``options`` describe, started by ``launcher``, on the data as it lies there now.

        Args:
            write: whether missing demo data is written.

        Raises:
            UserError: an option that is wrong.
        """
        _, runs, roots = options.load()
        specs = {run.task.name: run.task for run in runs}.values()
        seen = look_at_data(specs, roots, options.task_folders, options.out, partial(_say, console), write)
        suite, runs, roots = options.load(data=seen.fingerprints)
        unlisted = {run.folder: seen.problems[run.task.name] for run in runs if run.task.name in seen.problems}
        return cls(suite, runs, options.out, roots, options.task_folders, command, launcher, console, unlisted)

    def run(self) -> int:
        """Runs what is missing or failed; returns the exit code.

        Raises:
            UserError: another controller works on the same folder, or no run could start or finish here.
        """
        with hold_folder(self.out) as held:
            for folder in (self.out, self.out / "tables"):
                remove_leftovers(folder)
            seen = {run.task.name: run.data for run in self.runs if run.data is not None}
            remember_data(self.out, self.suite.demo_data, seen)
            write_plan(self.out, self.runs)
            for run in self.runs:
                if line := set_aside_damaged_record(run.folder, run.identity):
                    self._say(line)
            open_runs = [status.run for status in states_of(self.runs) if status.state is not RunState.DONE]
            if not open_runs:
                self._say(f"nothing to do: all {len(self.runs)} runs are done")
                return self._collect()
            campaign = self._drive(open_runs, held.keep)
            unwritten = self._collect()
        return self._verdict(campaign) or unwritten

    def dry_run(self) -> int:
        """Prints the command of each run that is not done, and what is wrong with their engines and recipes.

        Returns:
            The exit code: 1 if something is wrong.
        """
        open_runs = [status.run for status in states_of(self.runs) if status.state is not RunState.DONE]
        for run in open_runs:
            self._say(self.launcher.command(run))
        problems = check_recipes(open_runs, self.task_folders, lambda line: None).values()
        for line in dict.fromkeys(line for lines in problems for line in lines):
            self._say(f"- {line}")
        return 1 if problems else 0

    def _drive(self, open_runs: list[Run], keep: Callable[[], None]) -> Campaign:
        if problems := [*disk_problems(self.out, open_runs), *self.launcher.problems(open_runs)]:
            raise UserError("\n".join(problems))
        checked = check_runs(open_runs, self.roots, self.task_folders, self._say)
        bad = _refuse({**self._unlisted(open_runs), **checked})
        with watching(self.console, self.launcher.place, read_expected(self.out)) as view:
            for reason in sorted({*bad.values()}):
                view.note(f"not started: {reason}")
            return drive(self.runs, self._requests(open_runs), bad, self.launcher, view, keep)

    def _unlisted(self, runs: list[Run]) -> dict[Path, list[str]]:
        """Runs on data that has no fingerprint cannot be told from runs on other data: they are not started."""
        why = "its data could not be listed; see what transfer check says"
        return {run.folder: self.unlisted[run.folder] or [why] for run in runs if run.folder in self.unlisted}

    def _requests(self, runs: list[Run]) -> dict[Path, Request]:
        expected = read_expected(self.out)
        return {
            run.folder: request_for(run, self.roots, self.task_folders, self.command, expected.get(run.identity))
            for run in runs
        }

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
            self._say("stopped; the same command resumes from here")
            return EXIT_INTERRUPTED
        return 1 if campaign.failed else 0

    def _say(self, line: str) -> None:
        _say(self.console, line)


def _say(console: Console, line: str) -> None:
    console.print(printable(line), markup=False, highlight=False, soft_wrap=True)


def _refuse(problems: Mapping[Path, list[str]]) -> dict[Path, str]:
    """Runs whose data, engine or weights would fail them count as failed tries, with all reasons in one line."""
    bad = {folder: " | ".join(lines) for folder, lines in problems.items()}
    for folder, reason in bad.items():
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            end_attempt(folder, reason, None, retryable=False)
    return bad


def collect(out: Path, suite: Suite, runs: Iterable[Run], console: Console) -> None:
    """Shows the suite's tables, after writing ``out/tables/`` if runs have ended since they were made."""
    if not suite.tables:
        return
    folder = out / "tables"
    shown, mark = folder / f"{suite.name}.txt", folder / f".{suite.name}.made_from"
    planned = [run.planned for run in runs]
    fingerprint = _fingerprint(out, suite, planned)
    if not (shown.is_file() and mark.is_file() and read_regular(mark) == fingerprint.encode()):
        from results.report.write import write_report  # matplotlib takes its time: only when something is new

        runs_there = find_runs(out, planned)
        text = write_tables(runs_there, suite.tables, folder)
        write_classes(runs_there, folder)
        write_report(runs_there, out / "report.html", suite.tables, suite.title)
        text = "\n\n".join(filter(None, [text, write_ledger(runs_there, folder)]))
        write_text(text + "\n", shown)
        write_text(fingerprint, mark)
    console.print(read_regular(shown).decode(errors="replace").rstrip(), markup=False, highlight=False, soft_wrap=True)
    console.print(f"tables: {folder}\nreport: {out / 'report.html'}", markup=False, highlight=False, soft_wrap=True)


def _fingerprint(out: Path, suite: Suite, planned: list[Planned]) -> str:
    files = sorted([*out.rglob("record.json"), *out.rglob("attempts/*.json")])
    stats = [(str(file.relative_to(out)), file.stat().st_mtime_ns, file.stat().st_size) for file in files]
    return hashlib.sha256(repr((suite.title, suite.tables, planned, stats)).encode()).hexdigest()
