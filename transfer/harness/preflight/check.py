"""Before anything starts: missing demo data is written, and everything that would fail later is found, all at once."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from crossmae.recipe import Recipe
from transfer.harness.folder.expected import read_expected
from transfer.harness.folder.state import RunState, states_of
from transfer.harness.plan.data_roots import DataRoots
from transfer.harness.plan.plan import Run, unread_recipe
from transfer.harness.preflight.probe import SEEN, ProbeRequest, recipe_key
from transfer.harness.worker.process_tree import PARENT_VARIABLE
from transfer.task import TaskSpec

Report = Callable[[str], None]
LEAST_GIB = 5.0
"""States and checkpoints of a few ViT-B runs; where nothing is known of a suite's runs."""
LEAST_GIB_DEMO = 0.25


@dataclass(frozen=True)
class Probe:
    """Something to look at in a process of its own."""

    label: str
    request: ProbeRequest

    @property
    def asked(self) -> tuple[str, ...]:
        """Names that are answered for."""
        if self.request.source:
            return (self.request.source,)
        recipes = (recipe_key(task, recipe) for task, recipe in self.request.recipes)
        return (*(spec.name for spec in self.request.tasks), *recipes)


@dataclass(frozen=True)
class _Running:
    probe: Probe
    process: "subprocess.Popen[bytes]"
    output: IO[str]
    errors: IO[str]


def check_runs(runs: Sequence[Run], roots: DataRoots, folders: Sequence[Path], report: Report) -> dict[Path, list[str]]:
    """Problems by run folder, for runs that have some: data, engine, recipe, and the weights that they start from."""
    specs = {run.task.name: run.task for run in runs}.values()
    probes = data_probes(specs, roots, folders, recipes=_distinct_recipes(runs))
    return _problems(runs, [*probes, *_weight_probes(runs, folders)], report)


def check_recipes(runs: Sequence[Run], folders: Sequence[Path], report: Report) -> dict[Path, list[str]]:
    """Problems by run folder of engines and recipes alone: looks at no data and writes none."""
    specs = {run.task.name: run.task for run in runs}.values()
    return _problems(runs, [*data_probes(specs, None, folders, recipes=_distinct_recipes(runs))], report)


def _problems(runs: Sequence[Run], probes: list[Probe], report: Report) -> dict[Path, list[str]]:
    answers = answers_of(probes, report)
    problems = {
        run.folder: [
            *answers[run.task.name],
            *answers.get(recipe_key(run.task.name, run.recipe), []),
            *answers.get(run.source or "", []),
        ]
        for run in runs
    }
    return {folder: lines for folder, lines in problems.items() if lines}


def answers_of(waiting: list[Probe], report: Report) -> dict[str, list[str]]:
    """What the processes of ``waiting`` answer, by the names of ``Probe.asked``; reports each as it starts."""
    running: list[_Running] = []
    answers: dict[str, list[str]] = {}
    while waiting or running:
        while waiting and len(running) < _at_once():
            report(_label(waiting[0]))
            running.append(_start(waiting.pop(0)))
        over = [probe for probe in running if probe.process.poll() is not None]
        running = [probe for probe in running if probe not in over]
        for probe in over:
            said = _answer(probe)
            for line in said.pop(SEEN, []):
                report(line)
            answers.update(said)
        time.sleep(0.05)
    return answers


def _label(probe: Probe) -> str:
    root, what = probe.request.data_root, "checking" if probe.request.digests is None else "listing"
    written = probe.request.demo and root is not None and not Path(root).exists()
    return f"{'writing and ' if written else ''}{what} {probe.label}"


def data_probes(
    specs: Iterable[TaskSpec],
    roots: DataRoots | None,
    folders: Sequence[Path],
    recipes: Sequence[tuple[str, Recipe]] = (),
    write: bool = True,
    digests: Path | None = None,
) -> Iterator[Probe]:
    """One for each data set; without ``roots``, data is left alone; see ``ProbeRequest`` for ``digests``."""
    groups: dict[str, list[TaskSpec]] = {}
    for spec in specs:
        groups.setdefault(spec.dataset or spec.name, []).append(spec)
    for label, tasks in groups.items():
        root = None if roots is None or tasks[0].dataset is None else str(roots.of(label))
        request = ProbeRequest(
            tasks=tuple(tasks),
            data_root=root,
            demo=write and roots is not None and roots.demo and label not in roots.named,
            task_folders=tuple(map(str, folders)),
            recipes=tuple(pair for pair in recipes if pair[0] in {spec.name for spec in tasks}),
            digests=None if digests is None else str(digests),
        )
        yield Probe(label, request)


def _distinct_recipes(runs: Iterable[Run]) -> tuple[tuple[str, Recipe], ...]:
    """Recipes that could be read, each once for its task."""
    recipes = {recipe_key(run.task.name, run.recipe): (run.task.name, run.recipe) for run in runs}
    return tuple(pair for pair in recipes.values() if pair[1] != unread_recipe(pair[1].name))


def _weight_probes(runs: Iterable[Run], folders: Iterable[Path]) -> Iterator[Probe]:
    """Weights of users; those of pretraining runs come later, and random ones cannot fail."""
    archs: dict[str, set[str]] = {}
    importable = tuple(map(str, folders))
    for run in runs:
        if run.source and run.needs is None and not run.source.startswith("random:"):
            archs.setdefault(run.source, set()).update([run.arch] if run.arch else [])
    for source, said in sorted(archs.items()):
        yield Probe(source, ProbeRequest(source=source, archs=tuple(sorted(said)), task_folders=importable))


def _at_once() -> int:
    return min(8, len(os.sched_getaffinity(0)))


def _start(probe: Probe) -> "_Running":
    command = [sys.executable, "-P", "-m", "transfer.harness.preflight.probe", probe.request.to_json()]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", PARENT_VARIABLE: str(os.getpid())}
    # Files, not pipes: a chatty engine must not wait for somebody to read.
    output, errors = TemporaryFile("w+"), TemporaryFile("w+")
    process = subprocess.Popen(command, stdout=output, stderr=errors, env=environment)
    return _Running(probe, process, output, errors)


def _answer(running: "_Running") -> dict[str, list[str]]:
    lines, errors = _lines(running.output), _lines(running.errors)
    try:
        answers: dict[str, list[str]] = json.loads(lines[-1])
        return answers
    except (IndexError, ValueError):
        last = errors[-1] if errors else f"exit code {running.process.returncode}"
        return {name: [f"the check of {running.probe.label} failed: {last}"] for name in running.probe.asked}


def _lines(file: IO[str]) -> list[str]:
    with file:
        file.seek(0)
        return file.read().strip().splitlines()


def disk_problems(out: Path, runs: Iterable[Run]) -> list[str]:
    """Too little space for the runs that are not done, as far as ``transfer estimate`` has measured them."""
    to_do = [status.run for status in states_of(runs) if status.state is not RunState.DONE]
    if not to_do:
        return []
    place = next(folder for folder in (out.resolve(), *out.resolve().parents) if folder.is_dir())
    free, needed = shutil.disk_usage(place).free / 2**30, _needed(out, to_do)
    if free >= needed:
        return []
    return [f"{place} has {free:.1f} GiB free of {needed:.1f} that are needed; free some, or choose another --out"]


def _needed(out: Path, runs: list[Run]) -> float:
    estimates = read_expected(out)
    measured = sum(estimates[run.identity].bytes_on_disk for run in runs if run.identity in estimates) / 2**30
    return max(measured, LEAST_GIB_DEMO if all(run.demo_data for run in runs) else LEAST_GIB)
