"""A folder of wheels is held against its list before anything is installed from it."""

import hashlib
import os
from pathlib import Path

import pytest

from scripts.environment import SetupError
from scripts.wheels import SUMS, check, install_from_them_alone


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    names = ("one-1.0-py3-none-any.whl", "two-2.0-py3-none-any.whl")
    for name in names:
        (tmp_path / name).write_bytes(name.encode())
    lines = [f"{hashlib.sha256(name.encode()).hexdigest()}  {name}\n" for name in names]
    (tmp_path / SUMS).write_text("".join(lines))
    return tmp_path


def test_pip_asks_no_registry_once_every_wheel_is_the_listed_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {"WHEELS": str(folder)})
    install_from_them_alone()
    assert os.environ["PIP_NO_INDEX"] == "1"
    assert os.environ["PIP_FIND_LINKS"] == str(folder)


def test_without_such_a_folder_pip_asks_the_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {"WHEELS": ""})
    install_from_them_alone()
    assert os.environ == {"WHEELS": ""}


def test_changed_wheel_is_named(folder: Path) -> None:
    (folder / "two-2.0-py3-none-any.whl").write_bytes(b"another")
    with pytest.raises(SetupError, match=r"two-2\.0.* is not the file that was collected; copy the folder again"):
        check(folder)


def test_missing_wheel_is_named(folder: Path) -> None:
    (folder / "one-1.0-py3-none-any.whl").unlink()
    with pytest.raises(SetupError, match=r"one-1\.0.* is missing; copy the folder again"):
        check(folder)


def test_folder_without_a_list_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"no SHA256SUMS in .*make wheels"):
        check(tmp_path)
