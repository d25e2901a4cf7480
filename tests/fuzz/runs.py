"""Readers of run folders and of what users type; and the engines' readers, where these are installed."""

import io
import json
import pickle
import shutil
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

from crossmae.errors import printable
from crossmae.pretraining.run import load_pretraining_recipe
from crossmae.run.lock import owner
from crossmae.run.progress import ProgressFile
from crossmae.weights.options import split_source
from results.compare import in_common, sentence
from results.report.write import write_report
from results.runs import find_runs
from results.store import read_attempts, read_record
from results.tables.write import write_tables
from tests.fuzz.files import FILES, picture
from tests.fuzz.targets import Make, Target, text_target
from tests.support.runs import RunFolder
from transfer.harness.folder.attempts import attempts_of, begin_attempt, seconds_in_attempts
from transfer.harness.folder.expected import read_expected
from transfer.harness.folder.pace import pace_of
from transfer.harness.folder.planned import PlannedRun
from transfer.harness.folder.record import record_fault
from transfer.harness.folder.request import Request, read_request
from transfer.harness.plan.data_roots import data_roots
from transfer.harness.plan.known_data import known_data
from transfer.harness.plan.tasks import load_specs
from transfer.harness.show.status import shown
from transfer.live.detail import detail_of
from transfer.live.look import Watch
from transfer.task import check_name

RUN = ("imagenet_finetune", "mae", 0)


def _in_a_run(name: str, read: Callable[[Path], object], *sound: bytes) -> Make:
    """A file of a finished run among others."""

    def make(folder: Path) -> Target:
        runs = RunFolder(folder)
        for backbone in ("mae", "crossmae"):
            for seed in range(2):
                artifacts = {"per_sample": "per_sample.csv", "picture": "picture.png"}
                run = runs.record(RUN[0], backbone, seed, {"top1": 60.0 + seed}, artifacts=artifacts)
                (run / "per_sample.csv").write_text("sample,top1\na,1\nb,0\nc,1\n")
        run = runs.folder(*RUN)
        run.mkdir(exist_ok=True)
        path = run / name
        path.parent.mkdir(exist_ok=True)
        contents = list(sound) or [path.read_bytes()]

        def restore() -> None:
            shutil.rmtree(folder / "attempts", ignore_errors=True)

        return Target(folder, contents, partial(read, run), path, restore)

    return make


def _show(run: Path) -> None:
    """What tables, comparison and report make of all runs."""
    runs = find_runs(run.parents[2])
    names = ["overview", "table1"]
    write_tables(runs, names, run.parents[2] / "tables")
    write_report(runs, run.parents[2] / "report.html", names)
    for comparison in in_common(runs, "mae", "crossmae"):
        assert sentence(comparison)


def _follow(run: Path) -> None:
    """What status and the live view make of a run's progress."""
    ProgressFile(run).read()
    pace = pace_of(run)
    if pace is not None:
        assert f"{pace.share:.0%} {pace.step} {pace.seconds_left}"
    (run / "session.json").write_text("{}")
    begin_attempt(run, "run_all")


def _watch(run: Path) -> None:
    """What ``transfer serve`` makes of all runs and of this one."""
    content = [Watch(run.parents[2]).picture().content(), detail_of(run)]
    json.dumps(content, ensure_ascii=False, allow_nan=False).encode()


def _attempts(run: Path) -> None:
    attempts_of(run)
    seconds_in_attempts(run)
    find_runs(run)
    read_attempts(run)


def _record(run: Path) -> None:
    record_fault(run, "0123456789")
    read_record(run)


def _override(text: str) -> None:
    load_pretraining_recipe("demo_crossmae", (text,))


def _name(text: str) -> None:
    assert printable(text).isprintable()
    Console(file=io.StringIO()).print(shown(text))
    data_roots((f"imagenet={text}",), demo=False)
    check_name("backbone", text)


def _coco(folder: Path) -> Target:
    from crossmae.data.demo.scenes import SceneSource
    from detection.data.check import check_coco
    from detection.data.demo import write_demo
    from detection.data.layout import annotation_file, fingerprint_of_coco
    from detection.data.register import read_dicts

    root = folder / "coco"
    write_demo(root, SceneSource(), {"train": 3, "val": 2})
    path = annotation_file(root, "train")

    def read() -> None:
        list(check_coco(root))
        fingerprint_of_coco(root, lambda path: path.name)
        read_dicts(root, "train", 4)

    return Target(folder, [path.read_bytes()], read, path)


def _detector(name: str, folder: Path) -> Target:
    from detection.evaluation.finished import dims_of, read_detector

    weights = {
        "backbone.net.pos_embed": np.zeros((1, 5, 8), np.float32),
        "backbone.net.blocks.0.mlp.fc1.weight": np.zeros((16, 8), np.float32),
        "backbone.net.blocks.0.attn.rel_pos_h": np.zeros((3, 4), np.float32),
    }
    file = io.BytesIO()
    if name.endswith(".pkl"):
        pickle.dump({"model": weights, "__author__": "x"}, file)
    else:
        torch.save({"model": {key: torch.from_numpy(value) for key, value in weights.items()}, "iteration": 3}, file)
    path = folder / name
    return Target(folder, [file.getvalue()], lambda: dims_of(read_detector(path)), path)


def _ade20k(name: str, sound: bytes, folder: Path) -> Target:
    from segmentation.data.check import problems, require_readable
    from segmentation.data.layout import digest_of_listing, fingerprint_of_ade20k

    for split in ("training", "validation"):
        for place, content in (("images", picture()), ("annotations", picture(mode="L"))):
            (folder / place / split).mkdir(parents=True)
            (folder / place / split / "a.png").write_bytes(content)
    (folder / "objectInfo150.txt").write_text("Idx\tName\n1\twall\n2\tsky\n")

    def read() -> None:
        list(problems(folder))
        fingerprint_of_ade20k(folder)
        digest_of_listing(folder)
        require_readable(folder, 2)

    return Target(folder, [sound], read, folder / name)


def _segmenter(folder: Path) -> Target:
    from segmentation.evaluation.finished import read_finished

    state = {
        "backbone.cls_token": torch.zeros(1, 1, 8),
        "backbone.patch_embed.projection.weight": torch.zeros(8, 3, 4, 4),
        "backbone.pos_embed": torch.zeros(1, 5, 8),
        "backbone.layers.0.ffn.layers.0.0.weight": torch.zeros(16, 8),
        "backbone.layers.0.attn.relative_position_bias_table": torch.zeros(9, 2),
    }
    file = io.BytesIO()
    torch.save({"state_dict": state, "meta": {"epoch": 1}}, file)
    path = folder / "upernet.pth"
    return Target(folder, [file.getvalue()], lambda: read_finished(path), path)


def _lines(*values: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(value).encode() + b"\n" for value in values)


_PROGRESS = _lines(*({"time": 1.7e9 + step, "step": step, "total": 9, "loss": 1 / step} for step in range(1, 5)))
_ATTEMPT = _lines(
    {
        "reason": "killed", "exit_code": 1, "retryable": True, "started": "2026-08-01T11:59:00+00:00",
        "finished": "2026-08-01T12:00:00+00:00", "command": "run_all", "schema_version": 1,
    }
)  # fmt: skip
_SESSION = _lines({"started": "2026-08-01T11:59:00+00:00", "command": "run_all"})
_PLAN = json.dumps(
    [
        asdict(PlannedRun("inat19/mae/0-a", "inat19", "mae", 0, "a", "b", 1, needs="pretrain/mae/0-c")),
        asdict(PlannedRun("pretrain/mae/0-c", "pretrain", "mae", 0, "c", "d", 8, needs=None)),
    ]
).encode()
_REQUEST = _lines(
    asdict(
        Request(
            "0123456789", load_specs()["imagenet_finetune"], load_pretraining_recipe("demo_crossmae"), "mine", "a.pth",
            {"file": "abc"}, 0, "data", (), 1, "fp32", (), "run_all",
        )
    )
)  # fmt: skip

RUNS: dict[str, Make] = {
    "record": _in_a_run("record.json", _record),
    "record-shown": _in_a_run("record.json", _show),
    "curves-shown": _in_a_run("progress.jsonl", _show, _PROGRESS),
    "picture-shown": _in_a_run("picture.png", _show, picture(), picture("JPEG")),
    "samples-compared": _in_a_run("per_sample.csv", _show, b"sample,top1\na,1\nb,0.5\nc,0\n"),
    "progress": _in_a_run("progress.jsonl", _follow, _PROGRESS),
    "progress-watched": _in_a_run("progress.jsonl", _watch, _PROGRESS),
    "log-watched": _in_a_run("log.txt", _watch, b"begins\n10 %\r20 %\nends\n"),
    "plan-watched": _in_a_run("../../../plan.json", _watch, _PLAN),
    "attempt": _in_a_run("attempts/1.json", _attempts, _ATTEMPT),
    "session": _in_a_run("session.json", lambda run: begin_attempt(run, "run_all"), _SESSION),
    "request": _in_a_run("run.json", read_request, _REQUEST),
    "lock": _in_a_run("lock", owner, b'{"pid": 1, "host": "a", "token": "b"}'),
    "estimates": _in_a_run("estimate.json", read_expected, b'{"a": {"device_hours": 1.0, "bytes_on_disk": 3}}'),
    "known-data": _in_a_run("data.json", lambda run: known_data(run, demo=True), b'{"demo": {"a": "b"}}'),
    "options": text_target(split_source, "a.pth?key=teacher&heads=12&mean=0.5,0.5,0.5"),
    "overrides": text_target(_override, "base_lr=0.1", "min_lr=1.0e-6", "crop_scale=[0.2, 1.0]"),
    "names": text_target(_name, "mine", "a.b+c"),
}
if find_spec("detectron2"):
    RUNS |= {name: partial(_detector, name) for name in ("detector.pth", "detector.pkl")} | {"coco": _coco}
if find_spec("mmseg"):
    RUNS |= {
        "segmenter": _segmenter,
        "ade20k-mask": partial(_ade20k, "annotations/training/a.png", picture(mode="L")),
        "ade20k-image": partial(_ade20k, "images/training/a.png", picture()),
        "ade20k-classes": partial(_ade20k, "objectInfo150.txt", b"Idx\tName\n1\twall\n2\tsky\n"),
    }

TARGETS: dict[str, Make] = FILES | RUNS
