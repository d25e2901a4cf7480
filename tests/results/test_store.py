"""Records are written once, whole, and read only if they are sound."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from results.record import Attempt, Record, RecordError
from results.store import read_attempts, read_record, write_attempt, write_record
from tests.support.runs import make_record

RECORD = make_record("imagenet_finetune", "mae", 0, {"top1": 83.25})


def test_a_record_reads_back_as_it_was_written(tmp_path: Path) -> None:
    path = write_record(tmp_path / "run", RECORD)
    assert read_record(path) == read_record(tmp_path / "run") == RECORD


def test_a_record_is_never_overwritten(tmp_path: Path) -> None:
    path = write_record(tmp_path, RECORD)
    before = path.read_bytes(), path.stat().st_ino
    with pytest.raises(RecordError, match="never overwritten"):
        write_record(tmp_path, replace(RECORD, metrics={"top1": 99.0}))
    assert (path.read_bytes(), path.stat().st_ino) == before


def test_nothing_is_left_of_a_record_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_record(tmp_path, replace(RECORD, metrics={"top1": float("nan")}))
    assert not (tmp_path / "record.json").exists()


def test_attempts_are_numbered_and_kept(tmp_path: Path) -> None:
    tries = [Attempt(reason, 1, False, "a", "b", "run") for reason in ("first", "second")]
    names = [write_attempt(tmp_path, attempt).name for attempt in tries]
    assert names == ["1.json", "2.json"]
    assert list(read_attempts(tmp_path)) == tries


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"schema_version": 2}, "schema version 2.*newer version"),
        ({"seed": "0"}, "seed is '0': should be a valid integer"),
        ({"seed": True}, "seed is True"),
        ({"metrics": {"top1": "83"}}, "metrics.top1 is '83': should be a valid number"),
        ({"metrics": {"top1": float("inf")}}, "metrics.top1 is inf"),
        ({"task": {"name": "x"}}, "lacks task.version"),
        ({"surprise": 1}, "has unknown surprise"),
        ({"deviations": "none"}, "deviations is 'none'"),
        ({"status": "failed"}, "only finished runs"),
    ],
)
def test_an_unsound_record_is_refused_in_one_line_with_its_file(
    tmp_path: Path, change: dict[str, Any], complaint: str
) -> None:
    path = tmp_path / "record.json"
    path.write_text(json.dumps({**RECORD.to_dict(), **change}))
    with pytest.raises(RecordError, match=complaint) as caught:
        read_record(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_a_truncated_record_is_refused(tmp_path: Path) -> None:
    path = write_record(tmp_path, RECORD)
    path.write_text(path.read_text()[:200])
    with pytest.raises(RecordError, match=r"record\.json: truncated or not JSON"):
        read_record(tmp_path)


def test_something_that_is_no_record_is_refused() -> None:
    with pytest.raises(RecordError, match="schema version None"):
        Record.from_json(b"[]", "x.json")
