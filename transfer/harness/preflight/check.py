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

from transfer.harness.folder.expected import read_expected
from transfer.harness.folder.state import RunState, states_of
from transfer.harness.plan.data_roots import DataRoots
from transfer.harness.plan.plan import Run
from transfer.harness.preflight.probe import ProbeRequest
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
        return (self.request.source,) if self.request.source else tuple(spec.name for spec in self.request.tasks)


@dataclass(frozen=True)
class _Running:
    probe: Probe
    process: "subprocess.Popen[bytes]"
    output: IO[str]
    errors: IO[str]


def check_runs(runs: Sequence[Run], roots: DataRoots, folders: Sequence[Path], report: Report) -> dict[Path, list[str]]:
    """Problems by run folder, for runs that have some: their data, their engine, the weights they start from."""
    answers = _answers([*_data_probes(runs, roots, folders), *_weight_probes(runs)], report)
    found = {run.folder: [*answers[run.task.name], *answers.get(run.source or "", [])] for run in runs}
    return {folder: problems for folder, problems in found.items() if problems}


def _answers(waiting: list[Probe], report: Report) -> dict[str, list[str]]:
    running: list[_Running] = []
    answers: dict[str, list[str]] = {}
    while waiting or running:
        while waiting and len(running) < _side_by_side():
            report(_says(waiting[0]))
            running.append(_start(waiting.pop(0)))
        over = [one for one in running if one.process.poll() is not None]
        running = [one for one in running if one not in over]
        for one in over:
            answers.update(_answer(one))
        time.sleep(0.05)
    return answers


def _says(probe: Probe) -> str:
    root = probe.request.data_root
    written = probe.request.demo and root is not None and not Path(root).exists()
    return f"{'writing and checking' if written else 'checking'} {probe.label}"


def _data_probes(runs: Iterable[Run], roots: DataRoots, folders: Sequence[Path]) -> Iterator[Probe]:
    specs = {run.task.name: run.task for run in runs}
    groups: dict[str, list[TaskSpec]] = {}
    for spec in specs.values():
        groups.setdefault(spec.dataset or spec.name, []).append(spec)
    for label, tasks in groups.items():
        root = None if tasks[0].dataset is None else str(roots.of(label))
        demo = roots.demo and label not in roots.named
        yield Probe(label, ProbeRequest(tuple(tasks), root, demo, task_folders=tuple(map(str, folders))))


def _weight_probes(runs: Iterable[Run]) -> Iterator[Probe]:
    """Weights of users; those of pretraining runs come later, and random ones cannot fail."""
    archs: dict[str, set[str]] = {}
    for run in runs:
        if run.source and run.needs is None and not run.source.startswith("random:"):
            archs.setdefault(run.source, set()).update([run.arch] if run.arch else [])
    for source, said in sorted(archs.items()):
        yield Probe(source, ProbeRequest(source=source, archs=tuple(sorted(said))))


def _side_by_side() -> int:
    return min(8, len(os.sched_getaffinity(0)))


def _start(probe: Probe) -> "_Running":
    command = [sys.executable, "-P", "-m", "transfer.harness.preflight.probe", probe.request.to_json()]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", PARENT_VARIABLE: str(os.getpid())}
    # Files, not pipes: a chatty engine must not wait for somebody to read.
    output, errors = TemporaryFile("w+"), TemporaryFile("w+")
    process = subprocess.Popen(command, stdout=output, stderr=errors, env=environment)
    return _Running(probe, process, output, errors)


def _answer(one: "_Running") -> dict[str, list[str]]:
    lines, errors = _lines(one.output), _lines(one.errors)
    try:
        answers: dict[str, list[str]] = json.loads(lines[-1])
        return answers
    except (IndexError, ValueError):
        last = errors[-1] if errors else f"exit code {one.process.returncode}"
        return {name: [f"the check of {one.probe.label} failed: {last}"] for name in one.probe.asked}


def _lines(file: IO[str]) -> list[str]:
    with file:
        file.seek(0)
        return file.read().strip().splitlines()


def disk_problems(out: Path, runs: Iterable[Run]) -> list[str]:
    """Too little space for the runs that are not done, as far as ``transfer estimate`` has measured them."""
    left = [status.run for status in states_of(runs) if status.state is not RunState.DONE]
    if not left:
        return []
    place = next(folder for folder in (out.resolve(), *out.resolve().parents) if folder.is_dir())
    free, needed = shutil.disk_usage(place).free / 2**30, _needed(out, left)
    if free >= needed:
        return []
    return [f"{place} has {free:.1f} GiB free of {needed:.1f} that are needed; free some, or choose another --out"]


def _needed(out: Path, runs: list[Run]) -> float:
    estimates = read_expected(out)
    measured = sum(estimates[run.identity].bytes_on_disk for run in runs if run.identity in estimates) / 2**30
    return max(measured, LEAST_GIB_DEMO if all(run.demo_data for run in runs) else LEAST_GIB)
