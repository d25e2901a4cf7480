"""From command-line options to suite, plan and data roots."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from crossmae.errors import UserError
from results.tables.spec import load_table
from transfer.harness.plan.data_roots import LAYOUTS, DataRoots, data_roots, recognise
from transfer.harness.plan.known_data import Fingerprints
from transfer.harness.plan.plan import Note, Run, at_once, make_plan
from transfer.harness.plan.suite import BackboneEntry, Suite, load_suite
from transfer.harness.plan.tasks import extended, load_specs, make_importable, spec_of
from transfer.task import TaskSpec


@dataclass(frozen=True)
class BenchmarkOptions:
    """The options that every command on a suite takes."""

    suite: str | Suite
    """By name or path, or the suite itself."""
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
        suite = load_suite(self.suite) if isinstance(self.suite, str) else self.suite
        roots = data_roots(self.data, suite.demo_data)
        suite, specs = _with_own_tasks(suite, load_specs(self.task_folders), roots)
        suite = self._changed(suite)
        for name in suite.tables:
            try:
                load_table(name)
            except UserError as error:
                note(UserError(f"suite {suite.name}: {error.what}", error.remedy))
        return suite, make_plan(suite, specs, self.out, note, data), roots

    def _changed(self, suite: Suite) -> Suite:
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


def _with_own_tasks(suite: Suite, specs: Mapping[str, TaskSpec], roots: DataRoots) -> tuple[Suite, dict[str, TaskSpec]]:
    """``suite`` and ``specs`` with the tasks that the suite has for each data set that an option names.

    The data set ``pets`` gets ``pets_finetune`` for ``imagefolder_finetune``, and so on.

    Raises:
        UserError: there is no such data, its layout is none of ``LAYOUTS``, or a task has the name already.
    """
    if not suite.own:
        return suite, dict(specs)
    if not roots.own:
        layouts = ", ".join(LAYOUTS)
        raise UserError(f"suite {suite.name} is for data of yours", f"name it: --data NAME=PATH:LAYOUT ({layouts})")
    tasks, known = dict(suite.tasks), dict(specs)
    for dataset, said in roots.own.items():
        for name, recipe in suite.own[said or recognise(roots.of(dataset))].items():
            base = spec_of(specs, name)
            task = f"{dataset}{name.removeprefix(str(base.dataset))}"
            if task in known:
                raise UserError(f"there is a task {task!r} already", f"call the data otherwise than {dataset}")
            known[task] = extended(base, task, base.title.replace(base.title.partition(",")[0], dataset), dataset, {})
            tasks[task] = recipe
    return replace(suite, tasks=tasks), known
