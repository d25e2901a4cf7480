"""``run_all`` as real processes in an empty folder, with tasks that do small real work."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

TASKS = Path(__file__).parents[1] / "transfer" / "harness" / "tasks"
"""Tasks that do small real work."""
STAND_IN = """
import importlib, os, sys

here = os.path.dirname(os.path.realpath(__file__))
sys.path[:] = [place for place in sys.path if os.path.realpath(place) != here]
del sys.modules["torch"]
torch = importlib.import_module("torch")
torch.cuda.is_available = lambda: True
torch.cuda.device_count = lambda: 0
"""
"""The real torch, which torchrun needs, but that it says there are GPUs; for tasks that compute on none."""


@dataclass
class Bench:
    """One out folder, and the commands that work on it."""

    folder: Path
    options: tuple[str, ...] = ("--devices", "cpu:2")
    prefix: tuple[str, ...] = ()
    """Before the command line."""
    environment: dict[str, str] = field(default_factory=dict)
    started: list["subprocess.Popen[str]"] = field(default_factory=list)

    def suite(self, tasks: tuple[str, ...] = ("counting", "summing"), seeds: int = 1, **overrides: list[str]) -> None:
        self.write_suite(self.suite_content(dict.fromkeys(tasks, "quick"), seeds, **overrides))

    def suite_content(self, tasks: dict[str, str], seeds: int = 1, **overrides: list[str]) -> dict[str, Any]:
        return {
            "title": "test",
            "data": "demo",
            "backbones": {"random": {"source": "random:vit_demo"}},
            "tasks": tasks,
            "seeds": list(range(seeds)),
            "overrides": overrides,
        }

    def write_suite(self, content: dict[str, Any]) -> None:
        (self.folder / "suite.yaml").write_text(yaml.safe_dump(content))

    def pretend_gpus(self, count: int, torch_agrees: bool = True) -> None:
        """A machine with GPUs, as far as nvidia-smi says, and torch if it agrees: it is a stand-in then."""
        tool = self.folder / "bin" / "nvidia-smi"
        tool.parent.mkdir()
        tool.write_text("#!/bin/sh\n" + "".join(f"echo 'GPU {index}: pretended'\n" for index in range(count)))
        tool.chmod(0o755)
        if torch_agrees:
            (tool.parent / "torch.py").write_text(STAND_IN)
            self.environment["PYTHONPATH"] = f"{tool.parent}:{os.environ.get('PYTHONPATH', '')}"
        self.environment["PATH"] = f"{tool.parent}:{os.environ['PATH']}"
        self.options = ("--devices", ",".join(map(str, range(count))))

    def start(self, *options: str, suite: str = "suite.yaml") -> "subprocess.Popen[str]":
        return self._open("run_all_main", *self.options, *options, suite=suite)

    def run(self, *options: str) -> tuple[int, str]:
        return self._end(self.start(*options))

    def run_suite(self, name: str, seconds: float = 900) -> tuple[int, str]:
        return self._end(self.start(suite=name), seconds)

    def transfer(self, command: str, *options: str, environment: dict[str, str] | None = None) -> tuple[int, str]:
        self.environment.update(environment or {})
        return self._end(self._open("main", *options, subcommand=(command,)))

    def command(self, *words: str) -> tuple[int, str]:
        """``transfer`` with ``words`` alone."""
        return self._end(self.begin(*words))

    def begin(self, *words: str) -> "subprocess.Popen[str]":
        """Starts ``transfer`` with ``words`` alone."""
        return self._execute("main", *words)

    def _open(
        self, entry: str, *options: str, subcommand: tuple[str, ...] = (), suite: str = "suite.yaml"
    ) -> "subprocess.Popen[str]":
        return self._execute(entry, *subcommand, "--suite", suite, "--out", "out", "--tasks", str(TASKS), *options)

    def _execute(self, entry: str, *words: str) -> "subprocess.Popen[str]":
        command = [*self.prefix, sys.executable, "-c", f"from transfer.cli import {entry}; {entry}()", *words]
        process = subprocess.Popen(
            command,
            cwd=self.folder,
            env={**os.environ, **self.environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def _end(self, process: "subprocess.Popen[str]", seconds: float = 180) -> tuple[int, str]:
        output, _ = process.communicate(timeout=seconds)
        return process.returncode, output

    def run_folder(self, task: str, seed: int = 0) -> Path:
        (folder,) = (self.folder / "out" / task / "random").glob(f"{seed}-*")
        return folder

    def records(self) -> dict[Path, tuple[int, bytes]]:
        """Inode and content of every record."""
        files = (self.folder / "out").glob("*/*/*/record.json")
        return {file: (file.stat().st_ino, file.read_bytes()) for file in files}

    def worker(self, task: str, seed: int = 0) -> int:
        """The process that wrote the newest step."""
        lines = (self.run_folder(task, seed) / "writers.txt").read_text().splitlines()
        return int(lines[-1].split()[1])

    def until_step(self, step: int, task: str = "counting") -> None:
        wait_until(lambda: self.steps(task)[-1:] >= [step])

    def until_record(self, task: str) -> None:
        wait_until(lambda: any((self.folder / "out" / task).glob("*/*/record.json")))

    def steps(self, task: str, seed: int = 0) -> list[int]:
        """Every step that was done, in the order of time, repeated ones too."""
        try:
            lines = (self.run_folder(task, seed) / "writers.txt").read_text().splitlines()
        except (OSError, ValueError):
            return []
        return [int(line.split()[2]) for line in lines]

    def end(self) -> None:
        """Ends the commands that a test left running."""
        for process in self.started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def writers(self, task: str, seed: int = 0) -> list[int]:
        """The processes that wrote, one after the other."""
        lines = (self.run_folder(task, seed) / "writers.txt").read_text().splitlines()
        pids = [int(line.split()[1]) for line in lines]
        return [pid for index, pid in enumerate(pids) if index == 0 or pids[index - 1] != pid]


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)
