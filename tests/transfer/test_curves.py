"""``transfer curves``: each logger has the curve of each run once, also after a resume and when it is asked again."""

import json
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from crossmae.errors import UserError
from crossmae.run.progress import ProgressFile
from transfer.commands.results import curves
from transfer.harness.folder.request import request_for, write_request
from transfer.harness.plan.options import BenchmarkOptions

Curve = dict[str, list[tuple[int, float]]]
"""Name of a metric to its steps and values."""

ONCE: Curve = {"loss": [(step, 100.0 - step) for step in (10, 20, 30, 40)], "top1": [(20, 5.0), (40, 7.0)]}


def report(folder: Path, *steps: int) -> None:
    for step in steps:
        ProgressFile(folder).write(step, 40, {"loss": 100.0 - step})
        if step in (20, 40):
            ProgressFile(folder).write(step, 40, {"top1": {20: 5.0, 40: 7.0}[step]})


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    """A run of every task of the demo, each of which was stopped after its state at step 10 and stands at step 30."""
    _, runs, roots = BenchmarkOptions("demo", tmp_path).load()
    of_a_task = {run.task.name: run for run in runs}.values()
    for run in of_a_task:
        run.folder.mkdir(parents=True)
        write_request(run.folder, request_for(run, roots, (), "run_all"))
        report(run.folder, 10, 20, 30)
    assert {run.task.name for run in of_a_task} >= {"pretrain", "inat19", "coco_vitdet", "ade20k_upernet"}
    return [run.folder for run in of_a_task]


def tensorboard(out: Path, run: Path) -> Curve:
    events = import_module("tensorboard.backend.event_processing.event_accumulator").EventAccumulator(str(out / run))
    events.Reload()
    return {
        # Files of one second have no order among themselves.
        name: sorted((event.step, float(event.tensor_proto.float_val[0])) for event in events.Tensors(name))
        for name in events.Tags()["tensors"]
    }


def wandb(out: Path, run: Path) -> Curve:
    identity, curve = run.name.partition("-")[2], Curve()
    for file in sorted(out.rglob(f"*-{identity}/*.wandb")):
        for content in leveldb_log(file.read_bytes()):
            record = import_module("wandb.proto.wandb_internal_pb2").Record()
            record.ParseFromString(content)
            values = {item.key or item.nested_key[0]: json.loads(item.value_json) for item in record.history.item}
            for name in {"loss", "top1"} & values.keys():
                curve.setdefault(name, []).append((values["_step"], values[name]))
    return curve


def leveldb_log(content: bytes) -> Iterator[bytes]:
    """The records of a file of LevelDB's log format, which begins with seven bytes of W&B's own."""
    at, record = 7, b""
    while at + 7 <= len(content):
        if (left := 32768 - at % 32768) < 7:
            at += left
            continue
        length, kind = int.from_bytes(content[at + 4 : at + 6], "little"), content[at + 6]
        record = (record if kind in (3, 4) else b"") + content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            yield record


def mlflow(out: Path, run: Path) -> Curve:
    client = import_module("mlflow.tracking").MlflowClient(out.as_uri())
    where = [experiment.experiment_id for experiment in client.search_experiments()]
    (there,) = client.search_runs(where, f"tags.identity = '{run.name.partition('-')[2]}'")
    names = list(there.data.metrics)
    return {name: [(m.step, m.value) for m in client.get_metric_history(there.info.run_id, name)] for name in names}


@pytest.mark.parametrize("read", [tensorboard, wandb, mlflow], ids=lambda read: read.__name__)
def test_every_task_has_its_curve_once(
    read: Callable[[Path, Path], Curve], folders: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = read.__name__
    if find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    curves(tmp_path, name)
    for folder in folders:
        report(folder, 20, 30, 40)  # resumed from its state
    curves(tmp_path, name)
    curves(tmp_path, name)
    out = tmp_path / "logged" / name
    for folder in folders:
        assert read(out, folder.relative_to(tmp_path)) == ONCE


def test_a_logger_that_is_unknown_or_missing_is_one_line(
    folders: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del folders
    with pytest.raises(UserError, match=r"^no logger 'board'; known loggers: tensorboard, wandb, mlflow$"):
        curves(tmp_path, "board")
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(UserError, match=r"^wandb is not installed here; \.venv/bin/pip install wandb$"):
        curves(tmp_path, "wandb")
    assert not (tmp_path / "logged").exists()


def test_damaged_and_hostile_files_are_passed_over(folders: list[Path], tmp_path: Path) -> None:
    damaged, hostile = folders[:2]
    (damaged / "run.json").write_text("{")
    content: dict[str, Any] = json.loads((hostile / "run.json").read_text())
    (hostile / "run.json").write_text(json.dumps({**content, "backbone": "../../x", "identity": "' OR '"}))
    curves(tmp_path, "tensorboard")
    sent = json.loads((tmp_path / "logged" / "tensorboard" / "sent.json").read_text())
    assert {*sent} == {folder.relative_to(tmp_path).as_posix() for folder in folders[1:]}
    assert not (tmp_path / "x").exists()
