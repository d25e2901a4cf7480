"""The set-up as a user meets it, as far as it goes without installing anything."""

import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.bootstrap import remove_torn_packages
from scripts.environment import Environment, SetupError, reason

ROOT = Path(__file__).parents[2]


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    """A checkout in which nothing is set up."""
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts", ignore=ignore)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return Environment(tmp_path)


def bootstrap(environment: Environment, **variables: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "scripts.bootstrap"]
    variables = {**os.environ, **variables}
    return subprocess.run(command, cwd=environment.root, env=variables, capture_output=True, text=True)


def test_finished_setup_is_a_no_op(environment: Environment) -> None:
    environment.folder.mkdir()
    environment.stamp.write_text(environment.digest())
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    done = bootstrap(environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before < 1
    assert list(environment.folder.iterdir()) == [environment.stamp]


def test_changed_pin_asks_for_another_setup(environment: Environment) -> None:
    environment.folder.mkdir()
    environment.stamp.write_text(environment.digest())
    assert environment.is_complete()
    environment.lock.write_text(environment.lock.read_text().replace("timm==", "timm==0."))
    assert not environment.is_complete()


def test_moved_environment_is_not_used(environment: Environment, tmp_path: Path) -> None:
    scripts = environment.folder / "bin"
    scripts.mkdir(parents=True)
    (scripts / "python").symlink_to(sys.executable)
    (scripts / "pip").write_text("#!/elsewhere/.venv/bin/python\n")
    assert not environment.is_usable()


def test_environment_of_another_python_is_not_used(environment: Environment) -> None:
    scripts = environment.folder / "bin"
    scripts.mkdir(parents=True)
    (scripts / "pip").write_text(f"#!{environment.folder}/bin/python\n")
    python = scripts / "python"
    python.write_text("#!/bin/sh\necho 'pip 26.3 from there (python 3.10)'\n")
    python.chmod(0o755)
    assert not environment.is_usable()
    python.write_text(python.read_text().replace("3.10", "{}.{}".format(*sys.version_info)))
    assert environment.is_usable()


def test_everything_missing_is_named_at_once(environment: Environment, tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("cc", "nm"):
        (tools / name).symlink_to("/bin/true")
    done = bootstrap(environment, PATH=str(tools))
    assert done.returncode == 1
    assert done.stderr == "setup: not found: git, make; on Debian or Ubuntu: apt-get install git make\n"


def test_torn_packages_are_installed_again(environment: Environment) -> None:
    site = environment.folder / "lib" / "python3.12" / "site-packages"
    whole, torn = site / "whole-1.dist-info", site / "torn-1.dist-info"
    for info in (whole, torn):
        info.mkdir(parents=True)
        (info / "METADATA").write_text("Name: x")
    (whole / "INSTALLER").write_text("pip")
    remove_torn_packages(environment)
    assert list(site.iterdir()) == [whole]


def test_failure_is_one_line_and_the_log_has_the_rest(environment: Environment) -> None:
    (environment.folder / "bin").mkdir(parents=True)
    (environment.folder / "bin" / "python").symlink_to(sys.executable)
    with pytest.raises(SetupError, match=r"^ERROR: boom \(more in .*setup\.log\)$"):
        environment.run("-c", "print('first'); print('ERROR: boom'); print('a hint'); raise SystemExit(1)")
    assert "first\nERROR: boom\na hint" in environment.log.read_text()


def test_reason_without_an_error_line_is_the_last_line() -> None:
    assert reason(["collecting", "killed", ""]) == "killed"
