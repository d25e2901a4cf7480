"""What a machine must have before anything is installed; prints the missing Debian packages when run.

With ``--python`` it says only whether the running Python will do, by its exit code, and prints what to do if it is of a
right version and lacks something.
"""

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


PYTHONS = ((3, 11), (3, 12), (3, 13))
"""The versions that will do; requires-python of pyproject.toml says the same."""

TOOLS = {"git": "git", "make": "make"}
COMPILER = {"cc": "gcc", "nm": "binutils"}
OPENCV_LIBRARIES = {"libGL.so.1": "libgl1", "libglib-2.0.so.0": "libglib2.0-0"}


def missing_python() -> list[Missing]:
    """A Python of a right version with what ``python -m venv`` needs, which Debian packages apart."""
    if sys.version_info[:2] not in PYTHONS:
        return [Missing("Python 3.11, 3.12 or 3.13", "python3")]
    if importlib.util.find_spec("ensurepip") is None:
        return [Missing("Python's venv", "python{}.{}-venv".format(*sys.version_info))]
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


def main() -> int:
    """Command line."""
    if sys.argv[1:] == ["--python"]:
        missing = missing_python()
        if missing and sys.version_info[:2] in PYTHONS:
            print(remedy(missing))
        return len(missing)
    print(*(item.package for item in missing_python() + missing_tools(TOOLS | COMPILER) + missing_libraries()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
