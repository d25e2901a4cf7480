"""Every package as a wheel in one folder, for machines without internet: ``python -m scripts.wheels FOLDER``.

``make setup WHEELS=FOLDER`` installs from such a folder alone. The list ``SHA256SUMS`` in it, which ``sha256sum -c``
reads too, tells a copy that is not whole.
"""

import hashlib
import os
import shutil
import sys
from pathlib import Path

from scripts import detectron2_wheel
from scripts.environment import Environment, SetupError

SUMS = "SHA256SUMS"
VARIABLE = "WHEELS"


def main() -> int:
    """Command line."""
    try:
        print(f"{collect(Environment(Path(__file__).resolve().parents[1]), Path(sys.argv[1]).resolve())} wheels")
    except (SetupError, IndexError) as error:
        print(f"wheels: {error if isinstance(error, SetupError) else 'name a folder for them'}", file=sys.stderr)
        return 1
    return 0


def collect(environment: Environment, folder: Path) -> int:
    """Downloads or builds what the lock file names, for this Python and this kind of machine.

    Returns:
        How many wheels there are.

    Raises:
        SetupError: ``folder`` holds something already, or pip fails.
    """
    if folder.exists() and any(folder.iterdir()):
        raise SetupError(f"{folder} is not empty; name a new folder")
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    lock = str(environment.lock)
    environment.pip("wheel", "--build-constraint", lock, "-r", lock, "--wheel-dir", str(partial))
    environment.pip("download", *detectron2_wheel.DOWNLOAD, "--dest", str(partial))
    lines = [f"{_digest(wheel)}  {wheel.name}\n" for wheel in sorted(partial.glob("*.whl"))]
    (partial / SUMS).write_text("".join(lines))
    if folder.exists():
        folder.rmdir()
    partial.rename(folder)
    return len(lines)


def install_from_them_alone() -> None:
    """Has pip take packages from the folder that the variable ``WHEELS`` names, if it does, and ask no registry.

    Raises:
        SetupError: that is no such folder, or a wheel in it is missing or has changed.
    """
    if not (name := os.environ.get(VARIABLE)):
        return
    folder = Path(name).resolve()
    check(folder)
    os.environ.update({"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(folder)})


def check(folder: Path) -> None:
    """Holds every wheel against the list.

    Raises:
        SetupError: there is no list, or a wheel is missing or has changed; the line names the first.
    """
    try:
        lines = (folder / SUMS).read_text().splitlines()
    except OSError:
        raise SetupError(f"no {SUMS} in {folder}; make it on a machine with internet: make wheels WHEELS=DIR") from None
    for line in lines:
        digest, _, name = line.partition("  ")
        wheel = folder / Path(name).name
        if not wheel.is_file():
            raise SetupError(f"{wheel} is missing; copy the folder again")
        if _digest(wheel) != digest:
            raise SetupError(f"{wheel} is not the file that was collected; copy the folder again")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    sys.exit(main())
