"""The documentation, followed as it is written."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer

from crossmae.cli import app as crossmae
from tests.docs.pages import PAGES, ROOT, blocks, inline_commands
from tests.support.own_data import write_own_data
from tests.support.runs import RunFolder
from transfer.cli import app as transfer
from transfer.cli import run_all

RUN = [page for page in PAGES if any(block.is_run and not block.is_long for block in blocks(page))]
LONG = [page for page in PAGES if any(block.is_run and block.is_long for block in blocks(page))]
OTHER_PROGRAMS = {".", "cd", "source", "tail", "sbatch", "pip"}


def name_of(page: Path) -> str:
    return page.stem


def as_the_demo_leaves_it(folder: Path) -> None:
    """Two seeds of two backbones in ``runs/demo``."""
    made = RunFolder(folder / "runs" / "demo")
    for seed in range(2):
        for backbone, gain in (("random", 0), ("crossmae", 10)):
            made.record("inat19", backbone, seed, {"top1": 50.0 + gain + seed})
            made.record("places365", backbone, seed, {"top1": 70.0 + gain + seed})


def follow(page: Path, folder: Path, *, whole: bool) -> None:
    """Saves what the page says to save and runs what is marked, in the order of the page."""
    as_the_demo_leaves_it(folder)
    write_own_data(folder)
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
    for block in blocks(page):
        if block.file:
            path = folder / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text)
        if block.is_run and (whole or not block.is_long):
            done = subprocess.run(
                ["bash", "-ec", block.text], cwd=folder, env=environment, capture_output=True, text=True
            )
            assert done.returncode == 0, f"{block.text}\n{done.stdout}{done.stderr}"


@pytest.mark.slow
@pytest.mark.parametrize("page", RUN, ids=name_of)
def test_what_a_page_says_works_as_written(page: Path, tmp_path: Path) -> None:
    follow(page, tmp_path, whole=False)


@pytest.mark.slow
@pytest.mark.skipif("WALK" not in os.environ, reason="takes minutes: make walk")
@pytest.mark.parametrize("page", LONG, ids=name_of)
def test_whole_walks_work_as_written(page: Path, tmp_path: Path) -> None:
    follow(page, tmp_path, whole=True)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_is_one_that_the_programs_understand(page: Path) -> None:
    for block in blocks(page):
        for command in block.commands if block.is_shell else ():
            understand(shlex.split(command))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_options_named_in_the_text_exist(page: Path) -> None:
    for text in inline_commands(page):
        words = text.split()
        if words[0] in PROGRAMS and any(word.startswith("--") for word in words):
            command = find_command(words)
            known = {name for option in command.params for name in option.opts}
            assert {word.partition("=")[0] for word in words if word.startswith("--")} <= known, text


def test_examples_in_help_texts_are_understood() -> None:
    commands = [one for program in PROGRAMS.values() for one in (program, *subcommands(program).values())]
    shown = [example for one in commands for example in examples(f"{one.help}\n{one.epilog}")]
    assert len(shown) > 10
    for example in shown:
        understand(shlex.split(example))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_the_readme_names_every_command() -> None:
    readme = (ROOT / "README.md").read_text()
    names = [name for program in PROGRAMS.values() for name in subcommands(program)]
    assert [name for name in names if not re.search(rf"[` ]{name}[` ]", readme)] == []


def test_the_pages_are_linked_from_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    assert [page.name for page in PAGES[1:] if f"docs/{page.name}" not in readme] == []


def command_of(function: Callable[..., None]) -> Any:
    program = typer.Typer()
    program.command()(function)
    return typer.main.get_command(program)


PROGRAMS = {
    "crossmae": typer.main.get_command(crossmae),
    "transfer": typer.main.get_command(transfer),
    "run_all": command_of(run_all),
}


def examples(text: str) -> list[str]:
    """The commands in a help text, which are parted by line ends or dots."""
    return re.findall(r"\b(?:crossmae|transfer|run_all) [^\n·]*--[^\n·]*", text)


def exists(name: str | None, folder: Path) -> None:
    assert name is None or name.endswith(".yaml") or (folder / f"{name}.yaml").is_file(), name


def subcommands(program: Any) -> dict[str, Any]:
    return getattr(program, "commands", {})


def find_command(words: list[str]) -> Any:
    return subcommands(PROGRAMS[words[0]]).get(words[1], PROGRAMS[words[0]])


def understand(words: list[str]) -> None:
    """Has the real command line read the words, without running the command."""
    if words[0] == "torchrun":
        words = words[words.index("-m") + 1 :]
    program, *arguments = [words[0].removeprefix(".venv/bin/"), *words[1:]]
    if program in PROGRAMS:
        rest = arguments[1:] if subcommands(PROGRAMS[program]) else arguments
        read = find_command([program, *arguments]).make_context(program, rest).params
        exists(read.get("suite"), ROOT / "transfer" / "suites")
        exists(read.get("recipe") if program == "crossmae" else None, ROOT / "crossmae" / "recipes")
    elif program == "make":
        targets = (ROOT / "Makefile").read_text().splitlines()
        assert any(line.startswith(f"{arguments[0]}:") for line in targets), words
    elif program == "python" and arguments[0] == "-m":
        assert (ROOT / f"{arguments[1].replace('.', '/')}.py").is_file(), words
    elif program == "pytest":
        assert [word for word in arguments if "/" in word and not (ROOT / word).exists()] == [], words
    else:
        assert program in {*OTHER_PROGRAMS, "python"}, words
