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
                known = ", ".join(sorted(suite.all_tasks))
                raise UserError(f"--set {change}: give TASK.KEY=VALUE with a task of the suite", f"it has {known}")
            suite = suite.override(task, assignment)
        return suite


def _entry(text: str) -> BackboneEntry:
    name, equals, source = text.partition("=")
    if not equals or not source:
        raise UserError(f"--backbone {text}: give NAME=SOURCE, such as mine=checkpoints/mine.pth")
    name, _, arch = name.partition(":")
    return BackboneEntry(name, source=source, arch=arch or None)


def _with_own_tasks(suite: Suite, specs: Mapping[str, TaskSpec], roots: DataRoots) -> tuple[Suite, dict[str, TaskSpec]]:
    """``suite`` and ``specs`` with the tasks on data of the user's, if the suite is for such.

    These are the task files that extend a task of the suite and, for each data set that an option names and no such
    file is about, one task for each that its layout allows: ``pets_finetune`` for ``imagefolder_finetune`` and so on.

    Raises:
        UserError: there is no data, its layout is none of ``LAYOUTS``, or a task has the name already.
    """
    recipes = {name: recipe for tasks in suite.own.values() for name, recipe in tasks.items()}
    tasks = {name: recipes[spec.extends] for name, spec in specs.items() if spec.extends in recipes}
    described, known = {specs[name].dataset for name in tasks}, dict(specs)
    if suite.own and not tasks and not roots.own:
        layouts = ", ".join(LAYOUTS)
        raise UserError(f"suite {suite.name} is for data of yours", f"name it: --data NAME=PATH:LAYOUT ({layouts})")
    for dataset, said in roots.own.items() if suite.own else ():
        if dataset in described:
            continue
        for name, recipe in suite.own[said or recognise(roots.of(dataset))].items():
            base = spec_of(specs, name)
            task = f"{dataset}{name.removeprefix(str(base.dataset))}"
            if task in known:
                raise UserError(f"there is a task {task!r} already", f"call the data otherwise than {dataset}")
            title = f"{dataset},{base.title.rpartition(',')[2]}"
            options = {"layout": said} if said else {}
            known[task], tasks[task] = extended(base, task, title, dataset, options), recipe
    return replace(suite, tasks={**suite.tasks, **tasks}), known
