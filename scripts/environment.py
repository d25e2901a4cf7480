"""The virtual environment that the set-up makes: where its parts lie, and how commands are run in it."""

import hashlib
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

PYTHON = "python {}.{}".format(*sys.version_info)
"""The version that the environment is made with, as pip names it."""


class SetupError(Exception):
    """One line that says what is wrong and what to do."""


@dataclass(frozen=True)
class Environment:
    """``.venv`` of the project in the folder ``root``."""

    root: Path

    @property
    def folder(self) -> Path:
        return self.root / ".venv"

    @property
    def python(self) -> str:
        return str(self.folder / "bin" / "python")

    @property
    def lock(self) -> Path:
        """Every package with its version, those that others bring along included."""
        return self.root / "scripts" / "requirements.lock"

    @property
    def log(self) -> Path:
        return self.folder / "setup.log"

    @property
    def stamp(self) -> Path:
        return self.folder / "setup.stamp"

    def pins(self) -> dict[str, str]:
        """Package name to its line of the lock file, such as ``torch==2.13.0``."""
        lines = [line for line in self.lock.read_text().splitlines() if "==" in line]
        return {line.partition("==")[0]: line for line in lines}

    def digest(self) -> str:
        """Changes with what decides what is installed: files, Python, and the folder, as no environment can move."""
        digest = hashlib.sha256(f"{self.root} {PYTHON}".encode())
        scripts = sorted((self.root / "scripts").glob("*.py"))
        for path in [self.lock, self.root / "pyproject.toml", *scripts]:
            digest.update(path.read_bytes())
        return digest.hexdigest()

    def is_complete(self) -> bool:
        """Whether a set-up from these very files, in this folder, came to its end."""
        return self.stamp.exists() and self.stamp.read_text() == self.digest()

    def is_usable(self) -> bool:
        """Whether there is an environment of this Python with a working pip, made for this folder."""
        pip = self.folder / "bin" / "pip"
        if not pip.exists() or f"{self.folder}/" not in pip.read_text():
            return False
        done = subprocess.run([self.python, "-m", "pip", "--version"], capture_output=True, text=True)
        return f"({PYTHON})" in done.stdout

    def pip(self, *arguments: str, watch: Callable[[str], None] | None = None) -> str:
        return self.run("-m", "pip", "--disable-pip-version-check", *arguments, watch=watch)

    def run(self, *arguments: str, watch: Callable[[str], None] | None = None) -> str:
        """Runs the environment's Python and returns what it prints, which goes to the log as well.

        ``watch`` is called with every line as it comes. SetupError with the reason if the command fails.
        """
        lines = []
        with self.log.open("a") as log:
            print("$ python", *arguments, file=log, flush=True)
            process = self._start(arguments)
            for line in process.stdout or ():
                print(line, end="", file=log, flush=True)
                lines.append(line.rstrip())
                if watch:
                    watch(lines[-1])
        if process.wait():
            raise SetupError(f"{reason(lines)} (more in {self.log})")
        return "\n".join(lines)

    def _start(self, arguments: tuple[str, ...]) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [self.python, *arguments], cwd=self.root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )


def reason(lines: list[str]) -> str:
    """The one line of a failed command's output that says why: pip's last error, else the last line."""
    errors = [line for line in lines if line.startswith("ERROR:")]
    said = [line for line in lines if line.strip()]
    return (errors or said or ["it printed nothing"])[-1]
