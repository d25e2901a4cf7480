"""Compiles the device guard, and loads it into a process that has not imported torch yet."""

import ctypes
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).with_name("guard.cpp")
_LIBRARIES = ("libtorch_global_deps.so", "libc10.so", "libtorch_cpu.so")


def compiler() -> str | None:
    """The C++ compiler of this machine, if it has one."""
    return shutil.which("g++") or shutil.which("c++")


def build(library: Path) -> None:
    """Compiles the guard against the installed torch's headers, in about four seconds."""
    command = [str(compiler()), "-shared", "-fPIC", "-std=c++20", "-O1", str(SOURCE)]
    subprocess.run([*command, f"-I{_torch() / 'include'}", "-o", str(library)], check=True)


def load(library: Path) -> None:
    """Loads torch's libraries and then the guard, which registers itself; torch is imported afterwards."""
    assert "torch" not in sys.modules, "the guard must be there before torch looks for devices"
    for name in _LIBRARIES:
        path = _torch() / "lib" / name
        if path.exists():
            ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)
    ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)


def _torch() -> Path:
    spec = importlib.util.find_spec("torch")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent
