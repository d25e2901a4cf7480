"""What a machine must have before anything is installed; prints the missing Debian packages when run."""

import ctypes
import importlib.util
import shutil
import sys
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Missing:
    """Something the set-up needs and this machine lacks."""

    name: str
    package: str
    """The Debian package that brings it."""


TOOLS = {"git": "git", "make": "make"}
COMPILER = {"cc": "gcc", "nm": "binutils"}
OPENCV_LIBRARIES = {"libGL.so.1": "libgl1", "libglib-2.0.so.0": "libglib2.0-0"}


def missing_python() -> list[Missing]:
    """Python 3.11 with what ``python -m venv`` needs, which Debian packages apart."""
    if sys.version_info[:2] != (3, 11):
        return [Missing("Python 3.11", "python3.11")]
    if importlib.util.find_spec("ensurepip") is None:
        return [Missing("Python's venv", "python3.11-venv")]
    return []


def missing_tools(tools: dict[str, str]) -> list[Missing]:
    """The commands of ``tools`` (command to Debian package) that are not on the PATH."""
    return [Missing(name, package) for name, package in tools.items() if shutil.which(name) is None]


def missing_libraries() -> list[Missing]:
    """The system libraries that OpenCV's wheel expects on Linux and does not bring along."""
    if sys.platform != "linux":
        return []
    return [Missing(name, package) for name, package in OPENCV_LIBRARIES.items() if not _loads(name)]


def remedy(missing: Iterable[Missing]) -> str:
    """One line that names everything missing and the command that installs it."""
    missing = list(missing)
    names = ", ".join(item.name for item in missing)
    packages = " ".join(item.package for item in missing)
    return f"not found: {names}; on Debian or Ubuntu: apt-get install {packages}"


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


if __name__ == "__main__":
    everything = missing_python() + missing_tools(TOOLS | COMPILER) + missing_libraries()
    print(*(item.package for item in everything))
