"""The page on tables, followed as it is written."""

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

import results
from tests.results.conftest import RunFolder
from transfer.cli import app

PAGE = (Path(results.__file__).parents[1] / "docs" / "tables.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)


def test_every_command_of_the_page_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = RunFolder(tmp_path / "runs" / "demo")
    for seed in range(2):
        for backbone in ("random", "crossmae"):
            made.record("inat19", backbone, seed, {"top1": 50.0 + seed})
    monkeypatch.chdir(tmp_path)
    Path("mytable.yaml").write_text(blocks("yaml")[0])
    commands = [line for block in blocks("sh") for line in block.splitlines()]
    assert len(commands) == 4
    for command in commands:
        program, *arguments = shlex.split(command)
        assert program == "transfer"
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 0, command
        assert done.output.strip(), command
    assert Path("runs/demo/tables/mytable.tex").is_file()
    assert Path("runs/demo/report.html").is_file()


def test_every_table_of_the_page_can_be_filled(made: RunFolder, tmp_path: Path) -> None:
    made.record("ade20k_upernet", "mae_vit_b16", 0, {"miou": 47.0})
    for number, text in enumerate(blocks("yaml")):
        path = tmp_path / f"t{number}.yaml"
        path.write_text(text)
        done = CliRunner().invoke(app, ["tables", str(made.out), "--table", str(path)])
        assert done.exit_code == 0
    assert "(−0.7)" in done.output  # noqa: RUF001
