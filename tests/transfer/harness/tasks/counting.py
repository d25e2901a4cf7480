"""A task that does small real work: adds numbers from a file, saves its state, resumes, and fails on demand."""

import json
import os
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from crossmae.errors import UserError
from crossmae.recipe import Recipe
from crossmae.run.stop import StopGuard, Stopped
from transfer.task import Context, Problem, Task


class Counting(Task):
    def check(self, data_root: Path) -> Iterable[Problem]:
        try:
            json.loads((data_root / "numbers.json").read_text())
        except (OSError, ValueError):
            yield Problem(f"{data_root / 'numbers.json'} is damaged", "fetch it again")

    def demo(self, data_root: Path, scenes: Any) -> None:
        data_root.mkdir(parents=True)
        (data_root / "numbers.json").write_text(json.dumps(list(range(1000))))

    def check_recipe(self, recipe: Recipe) -> None:
        if recipe.protocol["steps"] < 0:
            raise UserError(f"steps is {recipe.protocol['steps']}", "count at least to 0")

    def run(self, backbone: Any, recipe: Recipe, context: Context) -> dict[str, float]:
        assert context.data_root is not None
        numbers = json.loads((context.data_root / "numbers.json").read_text())
        state_file = context.folder / "state.json"
        step, total = json.loads(state_file.read_text()) if state_file.exists() else (0, 0)
        (context.folder / "devices.txt").write_text(os.environ.get("CUDA_VISIBLE_DEVICES", ""))
        print("resumed at step" if step else "started at step", step, flush=True)
        with StopGuard() as guard:
            while step < recipe.protocol["steps"]:
                time.sleep(recipe.execution["seconds_per_step"])
                total += numbers[step]
                step += 1
                _trouble(recipe.execution["fault"], step, context.folder)
                _note_writer(context.folder, step)
                _save(state_file, step, total)
                context.progress(step, recipe.protocol["steps"], {"sum": total})
                if guard.requested:
                    raise Stopped(f"stopped by {guard.reason} after step {step}")
        return {"total": float(total)}

    def evaluate(self, weights: Path, recipe: Recipe, context: Context) -> dict[str, float]:
        """A finished model is a file with its total."""
        return {"total": float(weights.read_text())}


def _save(file: Path, step: int, total: int) -> None:
    temporary = file.with_suffix(f".{os.getpid()}.tmp")  # every process of a run counts
    temporary.write_text(json.dumps([step, total]))
    temporary.replace(file)


def _note_writer(folder: Path, step: int) -> None:
    """Who did which step, for the tests: no two processes may work in a folder at a time."""
    with open(folder / "writers.txt", "a") as file:
        file.write(f"{time.time()} {os.getpid()} {step}\n")


def _trouble(fault: str, step: int, folder: Path) -> None:
    marker = folder / "fault-happened"
    if step != 5 or fault == "none" or (fault.startswith("once-") and marker.exists()):
        return
    marker.touch()
    kind = fault.removeprefix("once-")
    if kind == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "hang":
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        time.sleep(3600)
    if kind == "raise":
        raise ValueError("the fifth number is unlucky")
    if kind == "memory":
        bytearray(sys.maxsize)
    if kind == "fill":
        out = folder.parents[2]
        while not list(out.glob("summing/*/*/record.json")):  # That one is to have finished before.
            time.sleep(0.1)
        with open(out / "filler", "wb") as file:
            room = os.fstatvfs(file.fileno())
            os.posix_fallocate(file.fileno(), 0, room.f_bavail * room.f_frsize)
