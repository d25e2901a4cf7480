"""``make gpu`` where there is no GPU: its refusal, its time box and page, and all of its code at tiny size."""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.downstream.cases import CASES
from benchmarks.gpu import run as gpu
from benchmarks.gpu.cases import MODES, STEP, Case, full, tiny
from crossmae.pretraining.recipe import read_recipe
from crossmae.pretraining.run import load_pretraining_recipe

SLEEPS = Case("steps", "sleeps", ("timeit", "-n1", "-r1", "import time; time.sleep(60)"), minutes=2 / 60)
FAILS = Case("steps", "fails", ("no_such_module",), minutes=1)
GOOD = Case("steps", "good", ("json.tool", "--compact", "FILE"), minutes=1)


@pytest.fixture
def good(tmp_path: Path) -> Case:
    """A case that measures 2,000 images a second."""
    (tmp_path / "figures").write_text(json.dumps({"images_per_second": 2000.0, "memory_bytes": 2**30, "mfu": 0.5}))
    return replace(GOOD, arguments=(*GOOD.arguments[:2], str(tmp_path / "figures")))


def written(out: Path) -> tuple[list[dict[str, Any]], str]:
    (figures,), (page,) = out.glob("*.json"), out.glob("*.md")
    rows: list[dict[str, Any]] = json.loads(figures.read_text())["figures"]["cases"]
    return rows, page.read_text()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_machine_without_a_gpu_is_told_so_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu.main(["--out", str(tmp_path / "out")]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "no GPU" in err
    assert not (tmp_path / "out").exists()


def test_one_failing_case_is_reported_and_the_others_run(good: Case, tmp_path: Path) -> None:
    two_gpus = replace(good, name="two", gpus=2)
    assert gpu.run([FAILS, two_gpus, good], "Some Card 9000", 1, 600, tmp_path / "out") == 1
    rows, page = written(tmp_path / "out")
    assert [row["outcome"].partition(":")[0] for row in rows] == ["failed", "not run", "done"]
    assert "no_such_module" in rows[0]["outcome"]
    assert rows[2]["figures"]["images_per_second"] == 2000
    assert page.startswith("# Some Card 9000\n")
    assert "| 2,000 " in page
    assert "50.0 %" in page
    assert "No module named" in page


def test_a_case_that_takes_too_long_is_ended(good: Case, tmp_path: Path) -> None:
    begin = time.monotonic()
    assert gpu.run([SLEEPS, good], "Card", 1, 600, tmp_path) == 1
    assert time.monotonic() - begin < 40
    rows, _ = written(tmp_path)
    assert "still running after 2 s" in rows[0]["outcome"]
    assert rows[1]["outcome"] == "done"


def test_what_the_time_box_has_no_room_for_is_not_run(good: Case, tmp_path: Path) -> None:
    assert gpu.run([good, good], "Card", 1, 5, tmp_path) == 0
    rows, page = written(tmp_path)
    assert [row["outcome"] for row in rows] == ["not run: no time left"] * 2
    assert "no time left" in page


@pytest.mark.slow
def test_the_cases_of_a_gpu_name_what_exists() -> None:
    for case in full():
        module, *arguments = [name for name in case.arguments if not name.startswith("-")]
        if module == "benchmarks.downstream.one":
            builders = import_module(f"benchmarks.downstream.{CASES[arguments[0]].builders}")
            assert arguments[1] in builders.BUILD
            assert CASES[arguments[0]].device == "cuda"
        elif module == STEP:
            _, recipe, batch, device, *overrides = arguments
            assert device == "cuda"
            values = (f"global_batch={batch}", f"per_device_batch={batch}", *overrides)
            read_recipe(load_pretraining_recipe(recipe, values), seed=0)


def test_the_dry_run_has_every_module_of_the_full_one() -> None:
    # torchrun's module stands first where several processes are meant.
    modules = [{case.arguments[0] for case in cases} for cases in (full(), tiny())]
    assert modules[0] == modules[1]
    assert {case.part for case in full()} == {case.part for case in tiny()}
    assert sum(case.part == "steps" for case in tiny()) >= len(MODES)


def in_process(case: Case) -> Callable[[], None]:
    """The case's ``main``, so that its imports count once for all cases."""
    module, *arguments = case.arguments
    return lambda: import_module(module).main(*arguments)


HERE = [case for case in tiny() if case.arguments[0].startswith("benchmarks.") and "compile=true" not in case.arguments]


@pytest.mark.slow
@pytest.mark.parametrize("case", HERE, ids=lambda case: case.name)
def test_a_case_runs_on_a_cpu(case: Case, capsys: pytest.CaptureFixture[str]) -> None:
    if reason := case.missing(0):
        pytest.skip(reason)
    in_process(case)()
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert all(value == value for value in figures.values())
    if case.name.startswith("resume"):
        assert figures["greatest_difference_of_weights"] == 0
    if "one and on two" in case.name:
        assert figures["greatest_difference"] < 1e-4
    if "images_per_second" in figures:
        assert figures["images_per_second"] > 0


@pytest.mark.slow
def test_the_tests_for_gpus_are_imported_and_torchrun_starts_a_case(tmp_path: Path) -> None:
    cases = [case for case in tiny() if not case.arguments[0].startswith("benchmarks.")]
    assert gpu.run(cases, "CPU", 0, 300, tmp_path) == 0
    collected, on_two = written(tmp_path)[0]
    assert "collected" in collected["figures"]["output"]
    assert on_two["figures"]["processes"] == 2
