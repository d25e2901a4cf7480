"""Compiles the device guard, and loads it into a process that has not imported torch yet."""

import ctypes
import fcntl
import hashlib
import importlib.metadata
import importlib.util
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SOURCE = Path(__file__).with_name("guard.cpp")
_LIBRARIES = ("libtorch_global_deps.so", "libc10.so", "libtorch_cpu.so")


def compiler() -> str | None:
    """The C++ compiler of this machine, if it has one."""
    return shutil.which("g++") or shutil.which("c++")


def built() -> Path:
    """The compiled guard; its name holds what it was made from, so that it is made once on a machine."""
    made_from = hashlib.sha256(SOURCE.read_bytes() + importlib.metadata.version("torch").encode()).hexdigest()[:16]
    library = Path(tempfile.gettempdir()) / f"crossmae-device-guard-{made_from}.so"
    with open(library.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not library.exists():
            part = library.with_suffix(".part")
            build(part)
            part.rename(library)
    return library


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
