"""What is named in suites, task files and options: looked up before anything runs, shown and never obeyed."""

import io
import os
import sys
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from crossmae.errors import UserError
from transfer.harness.folder.state import RunState, RunStatus
from transfer.harness.launch.choose import choose_launcher
from transfer.harness.launch.devices import find_pool
from transfer.harness.plan.options import BenchmarkOptions
from transfer.harness.plan.plan import Run
from transfer.harness.plan.tasks import load_specs, recipe_of
from transfer.harness.show.status import plan_table


def options(tmp_path: Path, *changes: str, **content: object) -> BenchmarkOptions:
    suite = {"title": "x", "backbones": {"a": {"source": "random:vit_demo"}}, "tasks": {"inat19": "demo"}, **content}
    (tmp_path / "suite.yaml").write_text(yaml.safe_dump(suite))
    return BenchmarkOptions(str(tmp_path / "suite.yaml"), tmp_path / "out", changes=changes)


def test_a_table_that_does_not_exist_is_found_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="suite suite: no table 'typo'; known: "):
        options(tmp_path, tables=["typo"]).load()
    seen: list[str] = []
    assert options(tmp_path, tables=["typo"]).load(note=lambda error: seen.append(str(error)))[1]
    assert len(seen) == 1


def test_planning_imports_nothing_of_a_package_that_a_task_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "modules" / "evilpkg"
    (package / "sub" / "recipes").mkdir(parents=True)
    for folder in (package, package / "sub"):
        (folder / "__init__.py").write_text("raise SystemExit('imported')")
    (package / "sub" / "recipes" / "quick.yaml").write_text("protocol: {steps: 1}\n")
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))
    tasks = tmp_path / "tasks"
    tasks.mkdir()
    task = {"version": 1, "title": "x", "adapter": "evilpkg.sub:Evil", "metrics": ["m"], "recipes": "evilpkg.sub"}
    (tasks / "evil.yaml").write_text(yaml.safe_dump(task))
    assert recipe_of(load_specs([tasks])["evil"], "quick").protocol == {"steps": 1}
    assert not [name for name in sys.modules if name.startswith("evilpkg")]


@pytest.mark.parametrize("text", ["a[/b]", "mine[v2]", "[red]x", "a\x1b[31mb"])
def test_names_and_reasons_are_shown_as_they_stand(text: str, tmp_path: Path) -> None:
    run: Run = options(tmp_path).load()[1][0]
    console = Console(file=io.StringIO(), width=200)
    console.print(plan_table([RunStatus(run, RunState.FAILED, text)], {}))
    shown = console.file.getvalue()  # type: ignore[attr-defined]  # a StringIO
    assert text.replace("\x1b", "") in shown
    assert "\x1b" not in shown


@pytest.mark.parametrize(
    "change",
    [
        *(f"inat19.epochs={value}" for value in ("[", "2026-13-45", "2026-01-02", "!!set {a}")),
        *(f"inat19.devices={value}" for value in ("abc", "0", "-1", "²")),
        *("x=[", "inat19", "="),
    ],
)
def test_a_change_that_is_no_value_is_one_line(change: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        options(tmp_path, change).load()
    assert "\n" not in str(error.value)


def test_a_change_to_no_task_of_the_suite_names_those_that_it_has(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"--set birds_finetune\.epochs=1: .* task of the suite; it has inat19, pretrain$"
    ):
        options(tmp_path, "birds_finetune.epochs=1").load()


@pytest.mark.parametrize("asked", ["abc", "", ",", "cpu:0", "cpu:x", "cpu:²", "cpux", "cpu:100000", "-1", "0,x"])
def test_devices_that_are_none_are_one_line(asked: str) -> None:
    with pytest.raises(UserError, match=f"--devices {asked}: "):
        find_pool(asked)


def test_a_list_of_gpus_that_slurm_withholds_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "CUDA_VISIBLE_DEVICES", "NoDevFiles")
    assert not find_pool().gpus


@pytest.mark.parametrize("minutes", [0.0, -1.0, float("nan")])
def test_a_time_to_hang_that_ends_every_run_is_refused(minutes: float) -> None:
    with pytest.raises(UserError, match=r"--hang-minutes .* would end every run at once"):
        choose_launcher("local", "cpu", None, minutes)
