"""``run_all`` with real processes: what runs, what is left alone, what a bad cell does to the others."""

import json
import subprocess
import sys

import pytest
import yaml

from tests.support.bench import TASKS, Bench


def test_runs_everything_then_nothing(bench: Bench) -> None:
    bench.suite()
    code, output = bench.run()
    assert code == 0, output
    records = bench.records()
    assert len(records) == 2
    totals = {json.loads(content)["metrics"]["total"] for _, content in records.values()}
    assert totals == {sum(range(20))}

    code, output = bench.run()
    assert code == 0
    assert "nothing to do" in output
    assert bench.records() == records


def test_record_says_what_was_run_and_where(bench: Bench) -> None:
    bench.suite(tasks=("counting",))
    bench.run()
    record = json.loads((bench.run_folder("counting") / "record.json").read_text())
    assert record["task"] == {"name": "counting", "version": 1}
    assert record["backbone"]["lineage"] == {}
    assert "generated demo data" in record["deviations"]
    assert "--suite suite.yaml" in record["provenance"]["command"]
    assert record["provenance"]["hardware"]["cores"] >= 1
    assert record["cost"]["wall_seconds"] > 0.9


def test_changed_recipe_is_another_run(bench: Bench) -> None:
    bench.suite(tasks=("counting",))
    bench.run()
    before = bench.records()
    assert bench.run("--set", "counting.steps=5")[0] == 0
    after = bench.records()
    assert len(after) == 2
    assert before.items() <= after.items()


@pytest.mark.slow
def test_changed_execution_is_the_same_run(bench: Bench) -> None:
    bench.suite(tasks=("counting",))
    bench.run()
    code, output = bench.run("--set", "counting.per_device_batch=2")
    assert code == 0
    assert "nothing to do" in output


def test_second_controller_is_refused_in_one_line(bench: Bench) -> None:
    bench.suite(tasks=("counting",), counting=["seconds_per_step=0.2"])
    first = bench.start()
    bench.until_step(1)
    code, output = bench.run()
    assert code == 1
    assert output.count("\n") == 1
    assert f"process {first.pid} " in output
    assert first.wait(60) == 0


def test_dry_run_prints_the_commands_and_starts_nothing(bench: Bench) -> None:
    bench.suite()
    code, output = bench.run("--dry-run")
    assert code == 0
    assert output.count("-m transfer.harness.worker") == 2
    assert not list((bench.folder / "out").glob("*/*/*"))


def test_controller_loads_no_engine(bench: Bench) -> None:
    """A command starts in half a second, and an engine that crashes on import takes nothing along."""
    bench.suite(tasks=("counting",))
    script = """
import sys
sys.argv = ["run_all", "--suite", "suite.yaml", "--out", "out", "--tasks", sys.argv[1]]
from transfer.cli import run_all_main
try:
    run_all_main()
finally:
    print(sorted({"torch", "timm", "detectron2", "mmengine", "mmcv", "mmseg"} & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", script, TASKS], cwd=bench.folder, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
    assert len(bench.records()) == 1


@pytest.mark.slow
def test_a_backbone_of_the_user_s_own_code_is_found_in_the_folder_of_tasks(bench: Bench) -> None:
    more = bench.folder / "more"
    more.mkdir()
    (more / "my_models.py").write_text(
        "from timm.models.eva import Eva\n\n"
        "def rotary(**options):\n"
        "    return Eva(img_size=64, patch_size=8, embed_dim=48, depth=2, num_heads=3, num_classes=0, **options)\n"
    )
    content = yaml.safe_load((TASKS / "counting.yaml").read_text())
    content.update(consumes_backbone=True, recipes=str(TASKS / "recipes"))
    (more / "taking.yaml").write_text(yaml.safe_dump(content))
    bench.suite(tasks=("taking",))
    source = "python:my_models:rotary?mean=0.5,0.5,0.5&std=0.5,0.5,0.5"
    code, output = bench.run("--tasks", "more", "--backbone", f"mine={source}")
    assert code == 0, output
    assert f"checking {source}" in output
    (path,) = (bench.folder / "out").glob("taking/mine/*/record.json")
    backbone = json.loads(path.read_text())["backbone"]
    assert backbone["lineage"]["source"] == "python:my_models:rotary"
    assert backbone["pretraining"]["wrapped"]["model"] == "python:my_models:rotary"
