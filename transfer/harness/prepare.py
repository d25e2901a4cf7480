"""Before anything starts: missing demo data is written, and everything that would fail later is found, all at once."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from transfer.harness.data import DataRoots
from transfer.harness.plan import Run
from transfer.harness.probe import ProbeRequest
from transfer.harness.processes import PARENT_VARIABLE
from transfer.task import TaskSpec

Report = Callable[[str], None]


@dataclass(frozen=True)
class Probe:
    """One data set and the tasks that read it; a task without data is alone."""

    label: str
    tasks: tuple[TaskSpec, ...]
    root: Path | None
    demo: bool


@dataclass(frozen=True)
class _Running:
    probe: Probe
    process: "subprocess.Popen[bytes]"
    output: IO[str]
    errors: IO[str]


def check_tasks(runs: Iterable[Run], roots: DataRoots, folders: Iterable[Path], report: Report) -> dict[str, list[str]]:
    """Problems by task name, for the tasks of ``runs``; each data set is looked at in a process of its own."""
    waiting = _probes(runs, roots)
    running: list[_Running] = []
    answers: dict[str, list[str]] = {}
    while waiting or running:
        while waiting and len(running) < _side_by_side():
            report(_says(waiting[0]))
            running.append(_start(waiting.pop(0), tuple(folders)))
        over = [one for one in running if one.process.poll() is not None]
        running = [one for one in running if one not in over]
        for one in over:
            answers.update(_answer(one))
        time.sleep(0.05)
    return answers


def _says(probe: Probe) -> str:
    written = probe.demo and probe.root is not None and not probe.root.exists()
    return f"{'writing and checking' if written else 'checking'} {probe.label}"


def _probes(runs: Iterable[Run], roots: DataRoots) -> list[Probe]:
    specs: Mapping[str, TaskSpec] = {run.task.name: run.task for run in runs}
    groups: dict[str, list[TaskSpec]] = {}
    for spec in specs.values():
        groups.setdefault(spec.dataset or spec.name, []).append(spec)
    return [_probe(label, tasks, roots) for label, tasks in groups.items()]


def _probe(label: str, tasks: list[TaskSpec], roots: DataRoots) -> Probe:
    root = None if tasks[0].dataset is None else roots.of(label)
    return Probe(label, tuple(tasks), root, roots.demo and label not in roots.named)


def _side_by_side() -> int:
    return min(8, len(os.sched_getaffinity(0)))


def _start(probe: Probe, folders: tuple[Path, ...]) -> "_Running":
    root = None if probe.root is None else str(probe.root)
    request = ProbeRequest(probe.tasks, root, probe.demo, tuple(map(str, folders)))
    command = [sys.executable, "-P", "-m", "transfer.harness.probe", request.to_json()]
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
        return {spec.name: [f"the check of {one.probe.label} failed: {last}"] for spec in one.probe.tasks}


def _lines(file: IO[str]) -> list[str]:
    with file:
        file.seek(0)
        return file.read().strip().splitlines()
