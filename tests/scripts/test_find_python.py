"""Which Python `make setup` takes, with programs on the PATH that say they are other versions than they are."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

from scripts.prerequisites import PYTHONS

ROOT = Path(__file__).parents[2]
NONE = "setup: no Python 3.11, 3.12 or 3.13 here; the shortest way to one: uv python install 3.12\n"


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A machine without any Python, and a checkout on it in ``project``."""
    shutil.copytree(ROOT / "scripts", tmp_path / "project" / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "bin").mkdir()
    for tool in ("sh", "sed", "dirname"):
        (tmp_path / "bin" / tool).symlink_to(str(shutil.which(tool)))
    return tmp_path


def install(machine: Path, name: str, version: tuple[int, int], venv: bool = True) -> str:
    """Puts a Python on the PATH that says it is ``version`` and returns its path."""
    path = machine / "bin" / name
    code = f"import runpy, sys; sys.version_info = {(*version, 0)}; sys.argv = sys.argv[2:]; "
    code += "" if venv else "sys.modules['ensurepip'] = None; "
    code += "runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=False)"
    path.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{code}" "$@"\n')
    path.chmod(0o755)
    return str(path)


def find(machine: Path, python: str = "") -> str:
    """What the script prints, on either stream."""
    variables = {"PATH": str(machine / "bin"), "PYTHON": python}
    command = ["scripts/find_python.sh"]
    done = subprocess.run(command, cwd=machine / "project", env=variables, capture_output=True, text=True)
    assert done.returncode == bool(done.stderr)
    return done.stderr or done.stdout.removesuffix("\n")


def test_the_newest_suitable_one_is_taken(machine: Path) -> None:
    assert find(machine) == NONE
    install(machine, "python3", (3, 14))
    assert find(machine) == NONE
    oldest = install(machine, "python3.11", (3, 11))
    assert find(machine) == oldest
    newest = install(machine, "python3.13", (3, 13))
    install(machine, "python3.12", (3, 12))
    assert find(machine) == newest


def test_one_that_does_not_run_is_passed_over(machine: Path) -> None:
    shim = machine / "bin" / "python3.13"
    shim.write_text("#!/bin/sh\necho 'pyenv: python3.13: command not found' >&2; exit 127\n")
    shim.chmod(0o755)
    assert find(machine) == NONE
    assert find(machine, str(shim)) == f"setup: {shim} is not Python 3.11, 3.12 or 3.13\n"
    plain = install(machine, "python3", (3, 12))
    assert find(machine) == plain


def test_one_without_venv_is_named_where_there_is_no_other(machine: Path) -> None:
    install(machine, "python3.13", (3, 13), venv=False)
    remedy = "setup: not found: Python's venv; on Debian or Ubuntu: apt-get install python3.13-venv\n"
    assert find(machine) == remedy
    assert find(machine, "python3.13") == remedy
    other = install(machine, "python3.12", (3, 12))
    assert find(machine) == other


def test_a_named_one_is_taken_or_refused(machine: Path) -> None:
    install(machine, "python3.13", (3, 13))
    older, old = install(machine, "python3.11", (3, 11)), install(machine, "python3.9", (3, 9))
    assert find(machine, "python3.11") == find(machine, older) == older
    assert find(machine, old) == f"setup: {old} is not Python 3.11, 3.12 or 3.13\n"


def test_an_environment_keeps_its_python(machine: Path) -> None:
    newest, older = install(machine, "python3.13", (3, 13)), install(machine, "python3.12", (3, 12))
    (machine / "project" / ".venv").mkdir()
    (machine / "project" / ".venv" / "pyvenv.cfg").write_text(f"home = x\nexecutable = {older}\nversion = 3.12.1\n")
    assert find(machine) == older
    Path(older).unlink()
    assert find(machine) == newest


def test_one_that_uv_keeps_off_the_path_is_found(machine: Path) -> None:
    (machine / "elsewhere").mkdir()
    kept = install(machine, "../elsewhere/python3.12", (3, 12))
    uv = machine / "bin" / "uv"
    uv.write_text(f"#!/bin/sh\n[ \"$1 $2\" = 'python find' ] && echo {kept}\n")
    uv.chmod(0o755)
    assert find(machine) == kept


def test_the_package_asks_for_the_same_versions() -> None:
    wanted = SpecifierSet(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"])
    assert [minor for minor in range(20) if f"3.{minor}.5" in wanted] == [minor for _, minor in PYTHONS]
