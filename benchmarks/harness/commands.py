"""How long the commands that look at a benchmark take: 500 runs planned, shown and not repeated; 100,000 files checked.

``python -m benchmarks.harness.commands``: one line per command, each a process of its own, imports included.
"""

import io
import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml
from PIL import Image

from results.record import BackboneRef, Cost, Provenance, RecipeRef, Record, TaskRef
from results.store import write_record
from transfer.harness.plan.options import BenchmarkOptions
from transfer.harness.plan.plan import Run
from transfer.live.look import Watch

BIN = Path(sys.executable).parent
TASKS = ("imagenet_finetune", "inat19", "places365", "coco_vitdet", "ade20k_upernet")
CLASSES, PER_CLASS, VALIDATED = 1000, 95, 5


def main() -> None:
    """Prints the seconds."""
    with TemporaryDirectory() as folder:
        os.chdir(folder)
        _suite("many.yaml", "demo", TASKS, backbones=50, seeds=2)
        many = ("--suite", "many.yaml", "--out", "out")
        _finish(half=True)
        _time("plan of 500 runs, half of them done", "transfer", "plan", *many)
        _time("status of 500 runs, half of them done", "transfer", "status", *many)
        _look("500 runs, half of them done, looked at as transfer serve does")
        _finish(half=False)
        _time("run_all of 500 runs that are done, tables and report", "run_all", *many)
        _time("run_all of 500 runs that are done, again", "run_all", *many)
        _suite("files.yaml", "real", TASKS[:1], backbones=1, seeds=1)
        _images(Path("imagenet"))
        _time("check of 100,000 images", "transfer", "check", "--suite", "files.yaml", "--data", "imagenet=imagenet")


def _suite(name: str, data: str, tasks: tuple[str, ...], backbones: int, seeds: int) -> None:
    entries = {f"backbone{number}": {"source": "random:vit_demo"} for number in range(backbones)}
    content = {"title": name, "data": data, "backbones": entries, "tasks": dict.fromkeys(tasks, "demo")}
    Path(name).write_text(yaml.safe_dump({**content, "seeds": list(range(seeds)), "tables": ["demo"]}))


def _finish(half: bool) -> None:
    """Records for all runs, or for every second."""
    _, runs, _ = BenchmarkOptions.of("many.yaml", Path("out"), None, None, None, None, None).load()
    for run in runs[:: 2 if half else 1]:
        if not (run.folder / "record.json").exists():
            run.folder.mkdir(parents=True)
            write_record(run.folder, _record(run))


def _record(run: Run) -> Record:
    return Record(
        identity=run.identity,
        task=TaskRef(run.task.name, run.task.version),
        backbone=BackboneRef(run.backbone, dict(run.lineage)),
        seed=run.seed,
        metrics=dict.fromkeys(run.task.metrics, 50.0),
        recipe=RecipeRef(run.recipe.name, run.recipe.hash, "", run.recipe.protocol, run.recipe.execution),
        deviations=run.recipe.deviations,
        artifacts={},
        cost=Cost(wall_seconds=60.0, device_hours=1 / 60),
        provenance=Provenance("", None, None, {}, {}, "2026-01-01T00:00:00+00:00", "2026-01-01T00:01:00+00:00"),
    )


def _images(root: Path) -> None:
    """ImageNet's layout with 100,000 small JPEGs."""
    encoded = io.BytesIO()
    Image.effect_noise((32, 32), 60).convert("RGB").save(encoded, "JPEG")
    for split, count in (("train", PER_CLASS), ("val", VALIDATED)):
        for number in range(CLASSES):
            folder = root / split / f"n{number:08}"
            folder.mkdir(parents=True)
            for index in range(count):
                (folder / f"{index}.JPEG").write_bytes(encoded.getvalue())


def _look(what: str) -> None:
    begin = time.monotonic()
    content = Watch(Path("out").absolute()).picture().content()
    print(f"{time.monotonic() - begin:6.2f} s  {what} ({content['summary']})", flush=True)


def _time(what: str, command: str, *arguments: str) -> None:
    begin = time.monotonic()
    done = subprocess.run([BIN / command, *arguments], capture_output=True, text=True)
    last = [line for line in done.stdout.splitlines() if line.strip()][-1]
    print(f"{time.monotonic() - begin:6.2f} s  {what} (exit code {done.returncode}: {last})", flush=True)


if __name__ == "__main__":
    main()
