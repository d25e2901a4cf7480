"""Makes ``.venv`` with all the project needs, from the package registry alone: ``python3 -m scripts.bootstrap``.

Every step can be repeated: an interrupted set-up is finished by the next one, and a finished one is known by its
stamp. What pip says is in ``.venv/setup.log``.
"""

import contextlib
import fcntl
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from scripts import detectron2_wheel
from scripts.environment import Environment, SetupError
from scripts.prerequisites import COMPILER, TOOLS, missing_libraries, missing_python, missing_tools, remedy
from scripts.wheels import install_from_them_alone

INSTALLERS = ("pip", "setuptools", "wheel")


def main() -> int:
    """Command line."""
    try:
        set_up(Environment(Path(__file__).resolve().parents[1]))
    except SetupError as error:
        print(f"setup: {error}", file=sys.stderr)
        return 1
    return 0


def set_up(environment: Environment) -> None:
    """Makes the environment complete, or sees that it is; SetupError if that cannot be done."""
    with alone(environment):
        if environment.is_complete():
            return
        begin = time.monotonic()
        install_from_them_alone()
        for number, (title, step) in enumerate(STEPS.items(), 1):
            print(f"[{number}/{len(STEPS)}] {title}", flush=True)
            step(environment)
        environment.stamp.write_text(environment.digest())
        print(f"Ready in {environment.folder} after {time.monotonic() - begin:.0f} s")


@contextlib.contextmanager
def alone(environment: Environment) -> Iterator[None]:
    """Waits until no other set-up works on this environment."""
    with environment.lock.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def check_machine(environment: Environment) -> None:
    missing = missing_python()
    compiler = missing_tools(COMPILER)
    if compiler and not missing and gets_cpu_torch(environment):
        missing += compiler
    missing += missing_tools(TOOLS) + missing_libraries()
    if missing:
        raise SetupError(remedy(missing))


def gets_cpu_torch(environment: Environment) -> bool:
    """Whether the build of torch that pip chooses on this machine is one without CUDA."""
    make_venv(environment)
    torch = environment.pins()["torch"]
    report = environment.pip("install", "--dry-run", "--ignore-installed", "--no-deps", "--report", "-", torch)
    return "+cpu" in report


def make_venv(environment: Environment) -> None:
    if environment.is_usable():
        return
    command = [sys.executable, "-m", "venv", "--clear", str(environment.folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SetupError(f"cannot make {environment.folder}: {(done.stderr or done.stdout).strip()}")


def install_installers(environment: Environment) -> None:
    remove_torn_packages(environment)
    environment.pip("install", *(environment.pins()[name] for name in INSTALLERS))


def remove_torn_packages(environment: Environment) -> None:
    """Makes pip forget packages whose installation was cut short: pip writes INSTALLER when all files are there."""
    for info in environment.folder.glob("lib/python*/site-packages/*.dist-info"):
        if not (info / "INSTALLER").exists():
            shutil.rmtree(info)


def install_packages(environment: Environment) -> None:
    total = len(environment.pins())
    collected = 0

    def watch(line: str) -> None:
        nonlocal collected
        collected += line.startswith("Collecting ")
        if line.startswith("Collecting ") and collected % 20 == 0:
            print(f"      {collected} of about {total} found", flush=True)
        elif line.startswith("Installing collected packages"):
            print("      installing", flush=True)

    lock = str(environment.lock)
    environment.pip("install", "--build-constraint", lock, "-r", lock, watch=watch)


def help_torchvision(environment: Environment) -> None:
    version = environment.run("-c", "import importlib.metadata; print(importlib.metadata.version('torch'))")
    if not version.endswith("+cpu"):
        return
    try:
        environment.run("-c", "import torchvision")
    except SetupError:
        environment.run("-m", "scripts.torchvision_stub")


def install_detectron2(environment: Environment) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        environment.pip("download", *detectron2_wheel.DOWNLOAD, "--dest", temporary)
        source = next(Path(temporary).glob("*.whl"))
        try:
            wheel = detectron2_wheel.repack(source, Path(temporary))
        except ValueError as error:
            raise SetupError(str(error)) from error
        environment.pip("install", "--no-deps", "--force-reinstall", str(wheel))


def install_project(environment: Environment) -> None:
    # By path: the editable finder of setuptools would give way to any results/ in a user's working folder.
    by_path = ["--config-settings", "editable_mode=compat"]
    environment.pip("install", "--no-deps", "--no-build-isolation", *by_path, "--editable", str(environment.root))


def check_packages(environment: Environment) -> None:
    environment.pip("check")


STEPS: dict[str, Callable[[Environment], None]] = {
    "prerequisites": check_machine,
    "virtual environment": make_venv,
    "pip and setuptools": install_installers,
    "packages (a minute or a few; 2 GB with a CPU-only torch)": install_packages,
    "torchvision": help_torchvision,
    "detectron2": install_detectron2,
    "crossmae": install_project,
    "consistency": check_packages,
}

if __name__ == "__main__":
    sys.exit(main())
