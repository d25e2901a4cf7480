"""One benchmark of ``run_all`` that can be started, looked at and disturbed at any time."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import yaml

from crossmae.run.lock import owner
from results.record import RecordError
from results.store import read_record
from tests.support.bench import TASKS
from tests.support.labelled_images import write_imagenet

SHARED = Path("/dev/shm")
SMALL = {task: ("quick", ["seconds_per_step=0.2"]) for task in ("counting", "summing")}
"""Recipe and changes by task: small real work, which keeps its state in a way of its own."""
TRAINING = {
    "imagenet_finetune": ("demo", ["steps=40", "warmup_epochs=0", "checkpoint_every=4", "log_every=2"]),
}
"""Tasks that train for a while, on the few images that ``write_imagenet`` writes."""
SEEDS = 2


class House:
    """A folder with a suite and its runs; ``controller`` is the newest ``run_all`` of it."""

    def __init__(self, folder: Path, training: bool) -> None:
        tasks = SMALL | TRAINING if training else SMALL
        self.folder, self.data = folder, folder.parent / "imagenet"
        if training and not self.data.exists():
            write_imagenet(self.data)
        self.out = folder / "out"
        self.runs = len(tasks) * SEEDS
        self.shared = self._shared()
        self.controller: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True)
        suite = {
            "title": "chaos",
            "data": "demo",
            "backbones": {"random": {"source": "random:vit_demo"}},
            "tasks": {task: recipe for task, (recipe, _) in tasks.items()},
            "seeds": list(range(SEEDS)),
            "overrides": {task: changes for task, (_, changes) in tasks.items()},
        }
        (folder / "suite.yaml").write_text(yaml.safe_dump(suite))

    def start(self) -> "subprocess.Popen[bytes]":
        """One more ``run_all``; what it says goes to ``said.txt``."""
        code = "from transfer.cli import run_all_main; run_all_main()"
        options = ["--suite", "suite.yaml", "--out", "out", "--tasks", str(TASKS), "--devices", "cpu:2"]
        options += ["--data", f"imagenet={self.data}"]
        with open(self.folder / "said.txt", "ab") as said:
            return subprocess.Popen(
                [sys.executable, "-c", code, *options], cwd=self.folder, stdout=said, stderr=subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip

    def keep_running(self) -> None:
        """Starts the command again if it has ended."""
        if self.controller is None or self.controller.poll() is not None:
            self.controller = self.start()

    def finish(self, patience: float) -> Iterator[str]:
        """Leaves it alone until all runs are done; yields a line if that does not happen."""
        ends = time.monotonic() + patience
        while True:
            self.keep_running()
            assert self.controller is not None
            try:
                code = self.controller.wait(max(1.0, ends - time.monotonic()))
            except subprocess.TimeoutExpired:
                os.killpg(self.controller.pid, signal.SIGKILL)
                self.controller.wait()
                yield "not done in time"
                return
            if code == 0 and self.is_done():
                return
            if time.monotonic() > ends:
                yield f"not done, exit code {code}: {self._said()}"
                return
            time.sleep(1)

    def is_done(self) -> bool:
        """Whether every run has its record."""
        return len(self.results()) == self.runs

    def results(self) -> dict[str, dict[str, float]]:
        """Metrics by run."""
        found = {}
        for path in self.out.glob("*/*/*/record.json"):
            with suppress(RecordError):
                record = read_record(path)
                found[f"{record.task.name} {record.backbone.name} {record.seed}"] = record.metrics
        return found

    def processes(self) -> list[psutil.Process]:
        """All that work in this folder, whoever started them."""
        return [process for process in psutil.process_iter() if self._is_ours(process)]

    def workers(self) -> list[psutil.Process]:
        """Those of runs."""
        own = None if self.controller is None else self.controller.pid
        return [process for process in self.processes() if process.pid != own]

    def left_behind(self) -> Iterator[str]:
        """What a benchmark that has ended must not leave."""
        ends = time.monotonic() + 10
        while (left := self.processes()) and time.monotonic() < ends:
            time.sleep(0.2)
        for process in left:
            yield f"process {process.pid} is left"
            with suppress(psutil.Error):
                process.kill()
        for path in self.folder.rglob("*"):
            temporary = path.suffix == ".part" or path.match("step-*.tmp")
            if temporary or path.is_socket() or path.is_fifo():
                yield f"{path.relative_to(self.folder)} is left"
        for folder in (self.out, *(path.parent for path in self.out.glob("*/*/*/lock"))):
            if owner(folder):
                yield f"{folder} is locked"
        if more := self._shared() - self.shared:
            yield f"shared memory is left: {', '.join(sorted(more)[:3])}"

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                return False
            return Path(process.cwd()).is_relative_to(self.folder) or str(self.out) in " ".join(process.cmdline())
        except (psutil.Error, OSError):
            return False

    def _said(self) -> str:
        lines = (self.folder / "said.txt").read_text(errors="replace").splitlines()
        return json.dumps(lines[-3:])

    @staticmethod
    def _shared() -> set[str]:
        """Files of this user in shared memory that torch, joblib or we would have made."""
        return {path.name for path in SHARED.glob("*") if path.name.startswith(("torch_", "psm_", "sem.", "crossmae"))}
