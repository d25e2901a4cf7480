"""``transfer tune`` finds a planted value, looks at no validation label before, and repeats nothing after a kill."""

import json
import math
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from crossmae.errors import UserError
from results.runs import find_runs
from tests.support.bench import Bench
from transfer.commands.search import Search, grid_points, read_range

TASK = """
version: 1
title: Whether a number is above a threshold
adapter: thresholds:Thresholds
dataset: numbers
metrics: [top1]
consumes_backbone: false
options: {reader: own}
"""
CLASS = '''
import time
import numpy as np
from transfer.datasets.layouts import reader_of
from transfer.task import Task


class Thresholds(Task):
    """Says class 1 of each image whose name is a number above the recipe's threshold."""

    def check(self, data_root):
        return ()

    def fingerprint(self, data_root, digest):
        return reader_of(self.spec.options).fingerprint(data_root)

    def demo(self, data_root, scenes):
        raise NotImplementedError

    def run(self, backbone, recipe, context):
        train, val = reader_of(self.spec.options).read_both(context.data_root)
        time.sleep(recipe.execution["seconds"])
        said = np.array([int(file[8:-4]) >= recipe.protocol["threshold"] for file in val.files])
        return {"top1": 100 * float((said == val.labels).mean())}
'''
RECIPE = "protocol: {threshold: 0}\nexecution: {seconds: 0.2}\n"
SUITE = "title: x\nbackbones: {mine: {source: 'random:vit_demo'}}\ntasks: {thresholds: plain}\ntables: [overview]\n"
WORDS = (
    *(
        "tune",
        "thresholds",
        "--suite",
        "suite.yaml",
        "--tasks",
        "tasks",
        "--out",
        "out",
        "--data",
        "numbers=labels.csv",
    ),
    *("--grid", "threshold=5,20,35,50", "--devices", "cpu:1"),
)


def rows(split: str, threshold: int, numbers: range) -> Iterator[str]:
    for number in numbers:
        yield f"numbers/{number}.png,{int(number >= threshold)},{split}\n"


@pytest.fixture
def tuned(bench: Bench) -> Bench:
    """Training labels say that 35 is right, validation labels that 5 is."""
    for path, text in (("tasks/thresholds.yaml", TASK), ("tasks/thresholds.py", CLASS), ("suite.yaml", SUITE)):
        (bench.folder / path).parent.mkdir(exist_ok=True)
        (bench.folder / path).write_text(text)
    (bench.folder / "tasks" / "recipes").mkdir()
    (bench.folder / "tasks" / "recipes" / "plain.yaml").write_text(RECIPE)
    train, val = rows("train", 35, range(100)), rows("val", 5, range(100, 140))
    (bench.folder / "labels.csv").write_text("".join(["file,label,split\n", *train, *val]))
    (bench.folder / "numbers").mkdir()
    for number in range(140):
        (bench.folder / "numbers" / f"{number}.png").write_bytes(b"")
    return bench


def trials(bench: Bench) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in (bench.folder / "out" / ".tuning").rglob("record.json")}


@pytest.mark.slow
def test_the_planted_value_is_found_on_train_alone_and_a_kill_repeats_nothing(tuned: Bench) -> None:
    process = tuned.begin(*WORDS)
    while not trials(tuned):
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    time.sleep(1)
    before = trials(tuned)
    assert not list((tuned.folder / "out").glob("thresholds/*/*/record.json"))

    code, output = tuned.command(*WORDS)
    assert code == 0, output
    assert "mine: threshold=35 of 4 trials" in output
    assert len(trials(tuned)) == 4
    assert {path: when for path, when in trials(tuned).items() if path in before} == before

    (stored,) = find_runs(tuned.folder / "out").records
    assert stored.record.recipe.protocol == {"threshold": 35}
    assert any("the best of 4 trials on a held-out part of train" in text for text in stored.record.deviations)
    path = stored.artifact("tuning")
    assert path is not None
    content = json.loads(path.read_text())
    scores = {trial["values"][0]: trial["top1"] for trial in content["trials"]}
    assert scores["threshold=35"] == 100
    assert max(scores, key=scores.__getitem__) == content["chosen"][0]

    when = path.stat().st_mtime_ns
    assert tuned.command(*WORDS)[0] == 0
    assert path.stat().st_mtime_ns == when

    lines = (tuned.folder / "labels.csv").read_text().replace("1,val", "2,val").replace("0,val", "1,val")
    (tuned.folder / "labels.csv").write_text(lines.replace("2,val", "0,val"))
    known = trials(tuned)
    assert "mine: threshold=35 of 4 trials" in tuned.command(*WORDS)[1]
    assert trials(tuned) == known
    assert len(find_runs(tuned.folder / "out").records) == 2


@pytest.mark.slow
def test_a_search_continues_with_a_larger_budget_and_repeats_nothing(tuned: Bench) -> None:
    words = [*WORDS, "--search", "tpe", "--range", "threshold=0:100", "--budget"]
    words = [word for word in words if word not in ("--grid", "threshold=5,20,35,50")]
    code, output = tuned.command(*words, "2")
    assert code == 0, output
    before = trials(tuned)
    assert len(before) == 2
    code, output = tuned.command(*words, "3")
    assert code == 0, output
    assert len(trials(tuned)) == 3
    assert {path: when for path, when in trials(tuned).items() if path in before} == before
    newest = max(find_runs(tuned.folder / "out").records, key=lambda stored: stored.record.provenance.finished)
    path = newest.artifact("tuning")
    assert path is not None
    content = json.loads(path.read_text())
    assert content["search"].startswith("TPE of Optuna")
    scores = {tuple(trial["values"]): trial["top1"] for trial in content["trials"]}
    assert len(scores) == 3
    assert scores[tuple(content["chosen"])] == max(scores.values())


def found(count: int, told: dict[tuple[str, ...], float]) -> list[tuple[str, ...]]:
    """Points that are asked for, where a learning rate of .01 and a decay of 1 are best."""
    search = Search({"decay": ("decay=0", "decay=1")}, [read_range("lr=1e-5:1:log")])
    points = []
    for _ in range(count):
        points.append(search.ask())
        decay, lr = (float(change.partition("=")[2]) for change in points[-1])
        score = decay - abs(math.log10(lr) + 2)
        search.tell(told.setdefault(points[-1], score))
    return points


def test_a_search_finds_what_was_planted_and_asks_for_the_same_again() -> None:
    pytest.importorskip("optuna")
    told: dict[tuple[str, ...], float] = {}
    points = found(30, told)
    decay, lr = max(told, key=told.__getitem__)
    assert decay == "decay=1"
    assert 0.003 < float(lr.partition("=")[2]) < 0.03
    assert isinstance(yaml.safe_load(lr.partition("=")[2]), float)
    assert found(8, told) == points[:8]


@pytest.mark.parametrize("text", ["lr", "lr=1", "lr=2:1", "lr=0:1:log", "lr=a:b", "=1:2", "lr=1:inf"])
def test_a_range_of_another_form_is_one_line(text: str) -> None:
    with pytest.raises(UserError, match="give KEY=LOW:HIGH or KEY=LOW:HIGH:log"):
        read_range(text)


def test_a_grid_is_every_combination_and_a_budget_some_of_them() -> None:
    points = grid_points(["lr=1.0e-3,2.0e-3", "betas=[0.9, 0.95],[0.9, 0.999]", "decay=0"], None)
    assert points[0] == ("lr=0.001", "betas=[0.9, 0.95]", "decay=0")
    assert len(points) == 4
    drawn = grid_points(["lr=1,2,3,4", "decay=0,1"], 3)
    assert len(drawn) == 3
    assert drawn == grid_points(["lr=1,2,3,4", "decay=0,1"], 3)


@pytest.mark.parametrize("text", ["lr", "lr=", "=1", "lr=[1"])
def test_a_grid_of_another_form_is_one_line(text: str) -> None:
    with pytest.raises(UserError, match="give KEY=VALUE,VALUE"):
        grid_points([text], None)
