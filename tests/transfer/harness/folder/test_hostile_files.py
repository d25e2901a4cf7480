"""Links and pipes where a run keeps its files: nothing is written through a link, nobody waits for a pipe."""

import json
import os
import stat
from pathlib import Path

import pandas as pd
import pytest

from crossmae.errors import UserError
from crossmae.files import open_to_append
from crossmae.run.lock import TOKEN_VARIABLE, hold_folder, owner
from crossmae.run.progress import ProgressFile
from crossmae.train.checkpoint.state_file import save_state
from results.record import RecordError
from results.store import read_attempts, read_record
from tests.support.runs import RunFolder
from transfer.harness.folder.attempts import attempts_of, begin_attempt, seconds_in_attempts
from transfer.harness.folder.pace import pace_of
from transfer.harness.folder.record import record_fault
from transfer.harness.worker.__main__ import link_in
from transfer.task import Context


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    path = tmp_path / "victim.txt"
    path.write_text("precious")
    return path


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    return tmp_path / "run"


def test_a_lock_that_is_a_link_is_refused_and_its_target_kept(run: Path, victim: Path) -> None:
    (run / "lock").symlink_to(victim)
    with pytest.raises(UserError, match="is a link or no file, and not a lock of ours; remove it"), hold_folder(run):
        pass
    assert owner(run) is None
    assert victim.read_text() == "precious"


def test_nothing_is_appended_through_a_link(run: Path, victim: Path) -> None:
    (run / "progress.jsonl").symlink_to(victim)
    with pytest.raises(OSError, match="symbolic link"):
        ProgressFile(run).write(1, 2, {})
    (run / "log.txt").symlink_to(victim)
    with pytest.raises(OSError, match="symbolic link"):
        open_to_append(run / "log.txt")
    (run / "per_sample.csv").symlink_to(victim)
    Context(run, None, 0).per_sample(pd.DataFrame({"sample": ["a"]}))
    assert victim.read_text() == "precious"
    assert (run / "per_sample.csv").read_text() == "sample\na\n"


def test_a_pipe_keeps_nobody_waiting(run: Path) -> None:
    (run / "attempts").mkdir()
    for name in ("record.json", "progress.jsonl", "log.txt", "attempts/1.json", "lock"):
        os.mkfifo(run / name)
    with pytest.raises(RecordError, match="no regular file"):
        read_record(run)
    with pytest.raises(RecordError, match="no regular file"):
        read_attempts(run)
    assert "is no file" in str(record_fault(run, "0123456789"))
    assert attempts_of(run).read == []
    assert pace_of(run) is None
    assert ProgressFile(run).read() == []
    assert ProgressFile(run).last() is None
    with pytest.raises(OSError, match=r"No such device or address|no regular file"):
        ProgressFile(run).write(1, 2, {})
    with pytest.raises(UserError, match="not a lock of ours"), hold_folder(run):
        pass


@pytest.mark.parametrize("line", ['"text"', "[]", "5", '{"step": 3}', '{"time": "x", "step": 1, "total": 2}', "\xff"])
def test_a_line_of_progress_that_is_no_report_is_passed_over(line: str, run: Path) -> None:
    ProgressFile(run).write(1, 2, {"loss": 3.0})
    with open(run / "progress.jsonl", "a", encoding="latin-1") as file:
        file.write(f"{line}\n")
    (report,) = ProgressFile(run).read()
    assert ProgressFile(run).last() == report
    pace = pace_of(run)
    assert pace is not None
    assert (pace.step, pace.metric) == (1, "loss 3")


def test_a_lock_whose_file_was_deleted_is_taken_again(run: Path) -> None:
    with hold_folder(run) as held:
        (run / "lock").unlink()
        assert owner(run) is None
        held.keep()
        assert owner(run) == f"process {os.getpid()} on {os.uname().nodename}"


def test_a_folder_that_another_took_after_the_lock_was_deleted_is_left_to_it(run: Path) -> None:
    with hold_folder(run) as held:
        (run / "lock").unlink()
        del os.environ[TOKEN_VARIABLE]  # The other is no process of ours.
        with hold_folder(run):
            with pytest.raises(UserError, match="is in use by"):
                held.keep()
            assert owner(run) is not None


def test_results_are_readable_as_the_umask_says(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        folder = RunFolder(tmp_path).record("inat19", "a", 0, {"top1": 1.0})
        with hold_folder(folder):
            ProgressFile(folder).write(1, 2, {})
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert set(modes.values()) == {0o644}, modes


@pytest.mark.parametrize("started", ["2026-08-01T12:00:00", "soon", "0001-01-01T00:00:00+14:00"])
def test_a_note_of_another_making_ends_as_a_failed_try(run: Path, started: str) -> None:
    (run / "session.json").write_text(json.dumps({"started": started, "command": "run_all"}))
    (run / "progress.jsonl").write_text('{"time": 1e20, "step": 1, "total": 2}\n')
    (run / "attempts").mkdir()
    (run / "attempts" / "²².json").write_text("{}")
    begin_attempt(run, "run_all")
    (attempt,) = attempts_of(run).read
    assert attempt.retryable
    assert seconds_in_attempts(run) >= 0


def test_a_run_with_a_link_in_its_folder_is_not_begun(run: Path, victim: Path) -> None:
    assert link_in(run) is None
    (run / "artifacts").mkdir()
    (run / "artifacts" / "detections.png").symlink_to(victim)
    assert link_in(run) == run / "artifacts" / "detections.png"


def test_links_within_a_run_are_no_harm(run: Path) -> None:
    """As submitit makes them."""
    (run / "slurm").mkdir()
    (run / "slurm" / "1_submission.sh").write_text("#!/bin/bash\n")
    (run / "slurm" / ".submission_file.sh").symlink_to(run / "slurm" / "1_submission.sh")
    assert link_in(run) is None


def test_a_state_is_not_written_through_a_link(run: Path, victim: Path) -> None:
    (run / "step-00000003.tmp").symlink_to(victim)
    assert save_state(run, 3, {}).is_file()
    assert victim.read_text() == "precious"
