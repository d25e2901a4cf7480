"""From command-line options to suite, plan and data roots."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from crossmae.errors import UserError
from results.tables.spec import load_table
from transfer.harness.plan.data_roots import DataRoots, data_roots
from transfer.harness.plan.known_data import Fingerprints
from transfer.harness.plan.plan import Note, Run, at_once, make_plan
from transfer.harness.plan.suite import BackboneEntry, Suite, load_suite
from transfer.harness.plan.tasks import load_specs, make_importable


@dataclass(frozen=True)
class BenchmarkOptions:
    """The options that every command on a suite takes."""

    suite: str
    out: Path
    seeds: tuple[int, ...] = ()
    backbones: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    task_folders: tuple[Path, ...] = ()

    @classmethod
    def of(
        cls,
        suite: str,
        out: Path,
        seeds: Iterable[int] | None,
        backbones: Iterable[str] | None,
        data: Iterable[str] | None,
        changes: Iterable[str] | None,
        task_folders: Iterable[Path] | None,
    ) -> Self:
        """From options, None where one was not given."""
        given = (tuple(values or ()) for values in (seeds, backbones, data, changes, task_folders))
        return cls(suite, out, *given)  # type: ignore[arg-type]  # mypy sees one type for all five

    def load(self, note: Note = at_once, data: Fingerprints | None = None) -> tuple[Suite, list[Run], DataRoots]:
        """The suite as changed by the options, its plan (see ``make_plan``), and where its data lies.

        Raises:
            UserError: an option or file that is wrong, in one line.
        """
        make_importable(self.task_folders)
        suite = self._suite()
        specs = load_specs(self.task_folders)
        for name in suite.tables:
            try:
                load_table(name)
            except UserError as error:
                note(UserError(f"suite {suite.name}: {error.what}", error.remedy))
        return suite, make_plan(suite, specs, self.out, note, data), data_roots(self.data, suite.demo_data)

    def _suite(self) -> Suite:
        suite = load_suite(self.suite)
        if self.seeds:
            entries = tuple(replace(entry, seeds=None) for entry in suite.backbones)
            suite = replace(suite, seeds=self.seeds, backbones=entries)
        if self.backbones:
            suite = replace(suite, backbones=tuple(_entry(text) for text in self.backbones))
        for change in self.changes:
            task, _, assignment = change.partition(".")
            if task not in suite.all_tasks:
                raise UserError(f"--set {change}: give TASK.KEY=VALUE with a task of the suite")
            suite = suite.override(task, assignment)
        return suite


def _entry(text: str) -> BackboneEntry:
    name, equals, source = text.partition("=")
    if not equals or not source:
        raise UserError(f"--backbone {text}: give NAME=SOURCE, such as mine=checkpoints/mine.pth")
    name, _, arch = name.partition(":")
    return BackboneEntry(name, source=source, arch=arch or None)
