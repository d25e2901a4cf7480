"""A number is that of the data it was asked for: other data, and another name of a backbone, are other runs."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from results.runs import find_runs
from tests.support.bench import TASKS, Bench
from transfer.harness.plan.lineage import digest_of_file


def numbers(folder: Path, first: int) -> str:
    """Data whose first twenty numbers add up to ``first`` + 19; returns its option."""
    folder.mkdir()
    (folder / "numbers.json").write_text(json.dumps([first, *[1] * 999]))
    return f"numbers={folder}"


@pytest.mark.slow
def test_other_data_never_returns_an_old_number(bench: Bench) -> None:
    bench.suite(tasks=("counting",), counting=["seconds_per_step=0"])
    small, great = numbers(bench.folder / "small", 1), numbers(bench.folder / "great", 1000)
    assert bench.run("--data", small)[0] == 0
    code, output = bench.run("--data", great)
    assert code == 0, output
    assert "nothing to do" not in output
    records = [json.loads(content) for _, content in bench.records().values()]
    assert {record["metrics"]["total"] for record in records} == {20, 1019}
    assert len({record["data"] for record in records}) == 2
    for _ in range(2):
        assert "nothing to do" in bench.run("--data", small)[1]
    shutil.copytree(bench.folder / "small", bench.folder / "copy")
    assert "nothing to do" in bench.run("--data", f"numbers={bench.folder / 'copy'}")[1]
    assert "1 done" in bench.transfer("plan")[1]


def test_data_that_does_not_exist_is_a_problem_and_not_nothing_to_do(bench: Bench) -> None:
    bench.suite(tasks=("counting",), counting=["seconds_per_step=0"])
    assert bench.run("--data", numbers(bench.folder / "small", 1))[0] == 0
    code, output = bench.run("--data", "numbers=absent")
    assert code == 1
    assert "nothing to do" not in output
    assert "no data at absent" in output


@pytest.mark.slow
def test_a_backbone_under_another_name_is_a_row_of_its_own(bench: Bench) -> None:
    bench.suite(tasks=("counting",), counting=["seconds_per_step=0"])
    task = yaml.safe_load((TASKS / "counting.yaml").read_text())
    assert bench.run()[0] == 0
    assert task["adapter"]
    renamed = bench.suite_content({"counting": "quick"}, counting=["seconds_per_step=0"])
    renamed["backbones"] = {"other": {"source": "random:vit_demo"}}
    bench.write_suite(renamed)
    # As somebody does who renames the folder along with the backbone.
    (bench.folder / "out" / "counting" / "random").rename(bench.folder / "out" / "counting" / "other")
    code, output = bench.run()
    assert code == 0, output
    assert {run.backbone for run in find_runs(bench.folder / "out").records} == {"random", "other"}


@pytest.mark.parametrize("content", ["", "[]", '{"a": 1}', "{" * 5000])
def test_a_damaged_list_of_digests_is_written_anew(content: str, tmp_path: Path) -> None:
    (tmp_path / "weights.pth").write_bytes(b"weights")
    cache = tmp_path / "digests.json"
    cache.write_text(content)
    first = digest_of_file(tmp_path / "weights.pth", cache)
    assert digest_of_file(tmp_path / "weights.pth", cache) == first
    assert [*json.loads(cache.read_text()).values()] == [first]
