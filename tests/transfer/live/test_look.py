"""What the page is told of a folder of runs, and what it does to the folder: nothing."""

import fcntl
import json
import os
from pathlib import Path

import pytest

from results.record import Record
from results.store import read_record
from tests.support.runs import RunFolder
from tests.transfer.live.conftest import HOSTILE, begin, report
from transfer.harness.folder.planned import read_plan
from transfer.harness.plan.plan import Run
from transfer.live.detail import detail_of
from transfer.live.look import LiveRun, Watch


def by_backbone(out: Path) -> dict[str, LiveRun]:
    return {run.backbone: run for run in Watch(out).picture().runs}


def test_every_run_has_its_state_and_a_line(made: RunFolder) -> None:
    runs = by_backbone(made.out)
    assert (runs["done"].state, runs["done"].number) == ("done", "71.25")
    assert (runs["failed"].state, runs["failed"].line) == ("failed", HOSTILE[0])
    running = runs[HOSTILE[1]]
    assert (running.state, running.share) == ("running", 0.25)
    assert "step 10 of 40" in running.line


def test_a_run_that_was_stopped_waits_and_one_long_silent_says_so(made: RunFolder) -> None:
    made.failure("inat19", "stopped", 0, "stopped", exit_code=75)
    for name in ("session.json", "progress.jsonl", "log.txt"):
        os.utime(made.folder("inat19", HOSTILE[1], 0) / name, (1, 1))
    runs = by_backbone(made.out)
    assert (runs["stopped"].state, "resumes" in runs["stopped"].line) == ("waiting", True)
    assert "nothing heard for" in runs[HOSTILE[1]].line


def test_a_plan_shows_what_has_not_begun_and_what_it_waits_for(planned: list[Run]) -> None:
    """The time left follows from a finished run of the same kind, in seconds of its record."""
    out = planned[0].folder.parents[2]
    picture = Watch(out).picture()
    lines = {(run.task, run.backbone): run.line for run in picture.runs}
    assert {run.state for run in picture.runs} == {"waiting"}
    assert lines["inat19", "mae"].startswith("waits for pretrain/mae/0-")
    assert lines["inat19", "random"] == ""
    assert picture.left == "nothing runs at the moment; time left is not known; 5 runs of unknown length"
    recipe = next(run.recipe.hash for run in planned if run.task.name == "inat19")
    RunFolder(out).record("inat19", "other", 0, {"top1": 1.0}, recipe_hash=recipe, minutes=3.0)
    assert "more than 6:00 left; 3 runs of unknown length" in Watch(out).picture().left


@pytest.mark.parametrize("place", ["/etc/x/0-a", "../x/0-a", "inat19/mae", "a/b/../0-a"])
def test_a_plan_leads_nowhere_else(planned: list[Run], place: str) -> None:
    path = planned[0].folder.parents[2] / "plan.json"
    content = json.loads(path.read_text())
    assert read_plan(path.parent)
    path.write_text(json.dumps([{**content[0], "place": place}, *content[1:]]))
    assert read_plan(path.parent) == ()


def test_the_detail_has_curves_and_the_end_of_the_log(made: RunFolder) -> None:
    detail = detail_of(made.folder("inat19", HOSTILE[1], 0))
    assert [curve["name"] for curve in detail["curves"]] == ["loss", HOSTILE[2]]
    assert detail["curves"][0]["points"] == [(5, 95.0), (10, 90.0)]
    assert detail["log"][0] == "begins"
    assert all(line.isprintable() for line in detail["log"])
    assert ["top1", "71.25"] in detail_of(made.folder("inat19", "done", 0))["facts"]


@pytest.mark.parametrize("name", ["log.txt", "progress.jsonl", "session.json"])
def test_no_link_is_followed(made: RunFolder, tmp_path: Path, name: str) -> None:
    secret = tmp_path / "secret"
    secret.write_text("a secret line")
    folder = made.folder("inat19", HOSTILE[1], 0)
    (folder / name).unlink()
    (folder / name).symlink_to(secret)
    run = by_backbone(made.out)[HOSTILE[1]]
    assert (run.state, "is a link" in run.line) == ("failed", True)
    assert list(detail_of(folder)) == ["problem"]
    assert "a secret line" not in json.dumps(detail_of(folder))


def test_looking_writes_nothing_and_asks_for_no_lock(made: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise AssertionError("a lock was asked for")

    monkeypatch.setattr(fcntl, "flock", refuse)
    before = tree(made.out)
    for folder in Watch(made.out).picture().folders.values():
        detail_of(folder)
    assert tree(made.out) == before


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.stat().st_mtime_ns, path.stat().st_size) for path in folder.rglob("*")}


def test_records_are_read_once_and_progress_each_time(made: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def counted(folder: Path) -> Record:
        read.append(folder)
        return read_record(folder)

    watch, read = Watch(made.out), list[Path]()
    monkeypatch.setattr("transfer.live.look._FRESH", 0.0)
    monkeypatch.setattr("transfer.live.seen.read_record", counted)
    watch.picture()
    report(made.folder("inat19", HOSTILE[1], 0), 30)
    begin(made.folder("inat19", "new", 0))
    runs = {run.backbone: run for run in watch.picture().runs}
    assert (runs[HOSTILE[1]].share, runs["new"].state) == (0.75, "running")
    assert len(read) == 1


def test_numbers_that_cannot_be_right_are_not_known(made: RunFolder) -> None:
    lines = ['{"time": 0, "step": 1, "total": 1e299}', '{"time": 1e299, "step": 2, "total": 1e299}']
    (made.folder("inat19", HOSTILE[1], 0) / "progress.jsonl").write_text("\n".join(lines))
    assert Watch(made.out).picture().left == "time left is not known; 1 run of unknown length"


def test_runs_of_one_name_and_seed_are_told_apart(made: RunFolder) -> None:
    made.record("inat19", "done", 0, {"top1": 50.0}, recipe_hash="other")
    labels = [run.label for run in Watch(made.out).picture().runs if run.backbone == "done"]
    assert labels == ["seed 0-abc123", "seed 0-other"]
