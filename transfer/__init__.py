"""The benchmark: tasks that take a backbone and leave records, and the harness that runs them all."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import pandas as pd

    from results.record import Record

__all__ = ["Evaluated", "evaluate"]


class Evaluated(NamedTuple):
    """What a finished run says."""

    record: "Record"
    """Metrics, recipe, deviations, cost and provenance."""
    table: "pd.DataFrame"
    """One row per metric, with task, backbone, seed and the run's folder; see ``results.runs.frame``."""


def evaluate(
    backbone: str | Path,
    task: str,
    data: str | Path | None = None,
    *,
    recipe: str | None = None,
    overrides: Iterable[str] = (),
    name: str | None = None,
    arch: str | None = None,
    seed: int = 0,
    out: str | Path = "runs/evaluated",
    devices: str | None = None,
    task_folders: Iterable[str | Path] = (),
) -> Evaluated:
    """Runs one task on one backbone, as ``run_all`` does for a suite of one cell, and returns its result.

    The same checks come first, the work happens in a process of its own under the folder's lock, and the record lies
    where ``run_all`` with the same ``out`` would leave it: called again, it returns what is there, and what was stopped
    is resumed. To be called in the main thread, as in a notebook's cell.

    Args:
        backbone: a source: a file or folder of weights, ``timm:NAME``, ``random:vit_demo``, ...
        task: name of a task, such as ``imagenet_knn@raw``.
        data: the data set's folder; ``demo``: small data that is written where it is missing; None: where ``data.yaml``
            or ``CROSSMAE_DATA`` says.
        recipe: the task's recipe. Default: on the demo's data ``demo``; on yours there is none.
        overrides: ``key=value`` for values of the recipe.
        name: what the backbone is called in records and tables. Default: the last part of its source.
        arch: what the backbone is, such as ``vit_b16``, where recipes are named after it.
        seed: decides all that is random.
        out: folder of the runs.
        devices: GPUs such as ``0,1``; ``cpu``; ``cpu:4``. Default: all.
        task_folders: folders with tasks of your own.

    Raises:
        UserError: something is wrong with an argument, the data or the weights, or the run failed; one line each.
        KeyboardInterrupt: the user stopped it; the same call resumes it.
    """
    from rich.console import Console

    from crossmae.errors import UserError
    from crossmae.run.lock import refuse_if_held
    from results.runs import StoredRecord, frame
    from results.store import read_record
    from transfer.harness.benchmark import EXIT_INTERRUPTED, Benchmark
    from transfer.harness.folder.state import states_of
    from transfer.harness.launch.choose import choose_launcher
    from transfer.harness.plan.options import BenchmarkOptions
    from transfer.harness.plan.suite import BackboneEntry, Suite
    from transfer.harness.plan.tasks import load_specs, spec_of

    refuse_if_held(Path(out))
    folders, demo = tuple(map(Path, task_folders)), data == "demo"
    entry = BackboneEntry(name or _name_of(str(backbone)), source=str(backbone), arch=arch)
    suite = Suite("evaluate", task, (entry,), {task: recipe or ("demo" if demo else "")}, (seed,), demo_data=demo)
    for change in overrides:
        suite = suite.override(task, change)
    roots = () if data is None or demo else (f"{spec_of(load_specs(folders), task).dataset}={data}",)
    options = BenchmarkOptions(suite, Path(out), data=roots, task_folders=folders)
    launcher = choose_launcher("local", devices, None, hang_minutes=30)
    command = f"transfer.evaluate({str(backbone)!r}, {task!r}, {data!r}, recipe={recipe!r}, seed={seed})"
    benchmark = Benchmark.of(options, launcher, command, Console(force_jupyter=False))
    exit_code, (run,) = benchmark.run(), benchmark.runs
    if exit_code == EXIT_INTERRUPTED:
        raise KeyboardInterrupt
    if exit_code:
        raise UserError(f"{run.title} failed: {states_of([run])[0].reason}", f"its log is {run.folder / 'log.txt'}")
    stored = StoredRecord(run.folder, read_record(run.folder))
    return Evaluated(stored.record, frame([stored]))


def _name_of(source: str) -> str:
    path = Path(source)
    return re.sub(r"[^A-Za-z0-9._+-]", "_", path.stem if path.is_file() else path.name).lstrip(".") or "backbone"
