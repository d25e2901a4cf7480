"""All runs of a folder are found, wherever they were copied from; what cannot be trusted is named and left out."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from results.runs import Planned, StoredRecord, Unfinished, batch_of, find_runs, frame, measured_on
from tests.support.runs import RunFolder, make_record


def test_failed_and_interrupted_runs_are_told_apart(made: RunFolder) -> None:
    failed = made.failure("inat19", "mae", 0, "no images")
    stopped = made.failure("inat19", "mae", 1, "stopped", exit_code=75)
    assert made.runs().unfinished == (
        Unfinished("inat19", "mae", 0, "no images", failed),
        Unfinished("inat19", "mae", 1, None, stopped),
    )


def test_the_newest_try_gives_the_reason(made: RunFolder) -> None:
    made.failure("inat19", "mae", 0, "first reason")
    made.failure("inat19", "mae", 0, "second reason")
    assert [run.reason for run in made.runs().unfinished] == ["second reason"]


def test_a_run_that_was_done_in_the_end_is_no_failure(made: RunFolder) -> None:
    made.failure("inat19", "mae", 0, "no images")
    made.record("inat19", "mae", 0, {"top1": 70.0}, recipe_hash="corrected")
    assert not made.runs().unfinished


def test_planned_runs_that_never_began_are_unfinished(made: RunFolder) -> None:
    made.record("inat19", "mae", 0, {"top1": 70.0})
    runs = find_runs(made.out, [Planned("inat19", "mae", 0), Planned("inat19", "mae", 1)])
    assert runs.unfinished == (Unfinished("inat19", "mae", 1, None),)


def test_records_copied_from_another_machine_count_once(made: RunFolder) -> None:
    made.record("inat19", "mae", 0, {"top1": 70.0})
    shutil.copytree(made.out / "inat19", made.out / "from_the_lab" / "inat19")
    made.record("inat19", "mae", 1, {"top1": 71.0})
    runs = made.runs()
    assert sorted(run.record.seed for run in runs.records) == [0, 1]
    assert not runs.problems


def test_conflicting_records_are_reported_and_neither_is_shown(made: RunFolder) -> None:
    made.record("inat19", "mae", 1, {"top1": 71.0})
    first = made.record("inat19", "mae", 0, {"top1": 70.0})
    second = made.out / "copy" / "inat19" / "mae" / first.name
    shutil.copytree(first, second)
    content = json.loads((first / "record.json").read_text())
    (second / "record.json").write_text(json.dumps({**content, "metrics": {"top1": 75.0}}))
    runs = made.runs()
    assert [run.record.seed for run in runs.records] == [1]
    (problem,) = runs.problems
    assert str(first) in problem
    assert str(second) in problem
    assert [(run.task, run.seed, run.reason) for run in runs.unfinished] == [("inat19", 0, problem)]


def test_unreadable_and_newer_records_are_reported_each_in_a_line_and_the_rest_is_shown(made: RunFolder) -> None:
    made.record("inat19", "mae", 0, {"top1": 70.0})
    truncated = made.record("inat19", "mae", 1, {"top1": 71.0}) / "record.json"
    truncated.write_text(truncated.read_text()[:100])
    newer = made.record("inat19", "mae", 2, {"top1": 72.0}) / "record.json"
    newer.write_text(json.dumps({**json.loads(newer.read_text()), "schema_version": 99}))
    runs = made.runs()
    assert [run.record.seed for run in runs.records] == [0]
    assert [problem.split(": ")[0] for problem in runs.problems] == [str(truncated), str(newer)]
    assert {run.seed for run in runs.unfinished} == {1, 2}


@pytest.mark.parametrize(
    ("hardware", "expected"),
    [
        ({"processor": "EPYC", "gpus": ["A100"] * 8, "processes": 16}, "16 x A100"),  # Each of two nodes sees its own.
        ({"processor": "EPYC", "gpus": [], "processes": 2, "threads": 1}, "EPYC, processes: 2, threads of each: 1"),
        ({"processor": "EPYC"}, "EPYC"),
    ],
)
def test_a_runtime_names_what_it_was_measured_on(hardware: dict[str, Any], expected: str) -> None:
    record = make_record("speed", "mae", 0, {"memory_mb": 1.0})
    record = replace(record, provenance=replace(record.provenance, hardware=hardware))
    assert measured_on(StoredRecord(Path("nowhere"), record)) == expected


@pytest.mark.parametrize(
    ("protocol", "execution", "processes", "expected"),
    [
        ({"global_batch": 4096}, {"per_device_batch": 512}, 8, "micro-batch 512, accumulation 1"),
        ({"global_batch": 4096}, {"per_device_batch": 512}, 4, "micro-batch 512, accumulation 2"),
        ({"global_batch": 96}, {"per_device_batch": 40}, None, "micro-batch 32, accumulation 3"),
        ({}, {"per_device_batch": 40}, 1, None),
        ({"global_batch": "many"}, {"per_device_batch": 40}, 1, None),
    ],
)
def test_a_runtime_names_how_an_update_was_split(
    protocol: dict[str, Any], execution: dict[str, Any], processes: int | None, expected: str | None
) -> None:
    record = make_record("speed", "mae", 0, {"memory_mb": 1.0})
    record = replace(
        record,
        recipe=replace(record.recipe, protocol=protocol, execution=execution),
        provenance=replace(record.provenance, hardware={"processes": processes}),
    )
    assert batch_of(StoredRecord(Path("nowhere"), record)) == expected


def test_the_frame_has_a_row_per_metric(made: RunFolder) -> None:
    made.record("coco_vitdet", "mae", 0, {"box_ap": 20.0, "mask_ap": 15.0})
    made.record("inat19", "mae", 0, {"top1": 70.0})
    table = frame(made.runs().records)
    assert table.set_index("metric")["value"].to_dict() == {"box_ap": 20.0, "mask_ap": 15.0, "top1": 70.0}


def test_the_same_weights_under_two_names_keep_both_rows(made: RunFolder) -> None:
    first = made.record("inat19", "mae", 0, {"top1": 70.0})
    content = json.loads((first / "record.json").read_text())
    renamed = made.out / "inat19" / "renamed" / first.name
    renamed.mkdir(parents=True)
    content["backbone"]["name"], content["metrics"] = "renamed", {"top1": 71.0}
    (renamed / "record.json").write_text(json.dumps(content))
    runs = made.runs()
    assert sorted(run.backbone for run in runs.records) == ["mae", "renamed"]
    assert not runs.problems


@pytest.mark.parametrize(
    "change",
    [
        {"metrics": {"top1": 1.7e308}},
        {"backbone": {"name": None, "lineage": {}}},
        {"provenance": None},
        {"cost": {"wall_seconds": 1.0, "device_hours": 1.0, "peak_memory_bytes": 10**400}},
    ],
)
def test_a_record_that_no_table_can_hold_is_a_problem_and_the_rest_is_shown(
    made: RunFolder, change: dict[str, Any]
) -> None:
    made.record("inat19", "mae", 0, {"top1": 70.0})
    path = made.record("inat19", "mae", 1, {"top1": 71.0}) / "record.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    runs = made.runs()
    assert [run.record.seed for run in runs.records] == [0]
    (problem,) = runs.problems
    assert problem.startswith(str(path))


def test_nulls_inside_free_fields_take_nothing_away(made: RunFolder) -> None:
    path = made.record("inat19", "mae", 0, {"top1": 70.0}) / "record.json"
    content = json.loads(path.read_text())
    content["backbone"]["pretraining"] = {"deviations": None}
    content["provenance"]["hardware"] = {"gpus": {"0": None}, "processor": None}
    path.write_text(json.dumps(content))
    (run,) = made.runs().records
    assert run.record.all_deviations == ("generated demo data",)
    assert measured_on(run) == "unnamed hardware"


def test_a_pipe_in_place_of_a_record_is_no_reason_to_wait(made: RunFolder) -> None:
    path = made.record("inat19", "mae", 0, {"top1": 70.0}) / "record.json"
    path.unlink()
    os.mkfifo(path)
    (problem,) = made.runs().problems
    assert problem == f"{path}: no regular file"
