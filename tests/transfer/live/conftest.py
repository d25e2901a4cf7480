"""A folder of runs in every state, and a server of its page."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from crossmae.run.progress import ProgressFile
from tests.support.runs import RunFolder
from transfer.harness.folder.planned import write_plan
from transfer.harness.plan.plan import Run, make_plan
from transfer.harness.plan.suite import load_suite
from transfer.harness.plan.tasks import load_specs

HOSTILE = (
    "<script>document.title='ran'</script>".replace("/", "\N{DIVISION SLASH}"),
    "<img src=x onerror=\"document.title='ran'\">",
    "javascript:document.title='ran'",
    "{{ 7 * 7 }}",
    "\x1b]0;title\x07\u202ereversed",
)
"""Names of backbones, log lines, metrics and errors of strangers."""


@pytest.fixture
def planned(tmp_path: Path) -> list[Run]:
    """The plan of the demo's random backbone and MAE on one task, which nobody has begun."""
    suite = replace(load_suite("demo"), seeds=(0,), tasks={"inat19": "demo"})
    runs = [run for run in make_plan(suite, load_specs(), tmp_path / "runs") if run.backbone in ("random", "mae")]
    write_plan(tmp_path / "runs", runs)
    return runs


@pytest.fixture
def made(tmp_path: Path) -> RunFolder:
    """One run that is done, one that failed, one that runs; all of the latter's words are a stranger's."""
    made = RunFolder(tmp_path / "runs")
    made.record("inat19", "done", 0, {"top1": 71.25})
    made.failure("inat19", "failed", 0, HOSTILE[0])
    begin(made.folder("inat19", HOSTILE[1], 0))
    return made


def begin(folder: Path) -> None:
    """Leaves a run that stands at step 10 of 40."""
    folder.mkdir(parents=True)
    (folder / "run.json").write_text("{}")
    (folder / "session.json").write_text(json.dumps({"started": "2026-08-01T11:59:00+00:00", "command": "run_all"}))
    (folder / "log.txt").write_text("\n".join(("begins", *HOSTILE)))
    report(folder, 5)
    report(folder, 10)


def report(folder: Path, step: int) -> None:
    """Reports a step of 40."""
    ProgressFile(folder).write(step, 40, {"loss": 100.0 - step, HOSTILE[2]: 1.0})


@contextmanager
def serving(runs: Path, *options: str) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    """``transfer serve``, its address and its process, which is killed at the end."""
    command = [sys.executable, "-P", "-c", "from transfer.cli import main; main()", "serve", str(runs), *options]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line.startswith("http://"), line + process.stdout.read()
        yield line.split()[0], process
    finally:
        process.kill()
        process.wait()
