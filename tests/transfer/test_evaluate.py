"""``transfer.evaluate``: a cell of the benchmark from Python, next to ``run_all`` on the same folder."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import transfer
from crossmae.errors import UserError
from crossmae.run.lock import hold_folder
from results.store import read_record
from tests.support.bench import TASKS, Bench


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def count(**options: object) -> transfer.Evaluated:
    values = {"data": "demo", "recipe": "quick", "name": "random", "out": "out", "devices": "cpu", **options}
    return transfer.evaluate("random:vit_demo", "counting", task_folders=[TASKS], **values)  # type: ignore[arg-type]


def test_run_all_finds_what_it_left(tmp_path: Path) -> None:
    record, table = count()
    assert table[["task", "backbone", "seed", "metric", "value"]].to_numpy().tolist() == [
        ["counting", "random", 0, "total", record.metrics["total"]]
    ]
    assert read_record(Path(table["folder"][0])) == record
    assert record.provenance.command.startswith("transfer.evaluate('random:vit_demo', 'counting', 'demo'")
    bench = Bench(tmp_path)
    bench.suite(("counting",))
    status, text = bench.run()
    assert (status, text.splitlines()[-1]) == (0, "nothing to do: all 1 runs are done")
    assert count().record == record


def test_data_of_ones_own_is_read(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "numbers.json").write_text(json.dumps([2] * 1000))
    record = count(data=tmp_path / "mine", overrides=["steps=3"]).record
    assert record.metrics == {"total": 6}
    assert record.deviations == ("steps=3 (recipe: 20)",)


def test_what_is_wrong_is_one_line() -> None:
    with pytest.raises(UserError, match=r"^no recipe ''; known recipes: quick$"):
        count(data="nowhere", recipe=None)
    with pytest.raises(UserError, match=r"^counting random seed 0 failed: .*steps is -1; .*log\.txt$"):
        count(overrides=["steps=-1"])
    with hold_folder(Path("out")), pytest.raises(UserError, match=r"^out is in use by "):
        count()


def test_importing_the_packages_loads_no_torch() -> None:
    code = "import crossmae, results, sys, transfer; print(sorted({'torch', 'pandas', 'rich'} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
