"""Runs of ``run_all`` that something happens to. As a program, on the demo's own data and recipes:

    python -m tests.support.interrupting FOLDER BACKBONE DATA TASK [KEY=VALUE ...]

BACKBONE is a checkpoint that the demo pretrained, DATA its ``data/demo``. Prints the metrics of an uninterrupted run,
of one that was killed, one that got SIGTERM and one that got Ctrl-C, each at a random update and started again.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import yaml

from crossmae.run.progress import ProgressFile
from transfer.harness.worker.process_tree import kill_tree

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)


@dataclass(frozen=True)
class Outcome:
    """What a run ended with: its metrics, and the loss of every update that it reported."""

    metrics: dict[str, float]
    losses: dict[int, float]


@dataclass(frozen=True)
class Bench:
    """One task on one backbone, run as often as one likes in folders below ``folder``."""

    folder: Path
    task: str
    backbone: str
    data: Path
    changes: tuple[str, ...] = ()

    def whole(self, name: str) -> Outcome:
        """Runs without interruption."""
        process = self._start(name)
        self._end(process, expected=0)
        return self._outcome(name)

    def interrupted(self, name: str, number: signal.Signals, step: int) -> Outcome:
        """Sends the signal to everything that runs, once update ``step`` is reported, and starts the command again."""
        process = self._start(name)
        while self._step(name) < step:
            assert process.poll() is None, self._log(name)
            time.sleep(0.02)
        if number == signal.SIGKILL:
            os.killpg(process.pid, signal.SIGKILL)
            kill_tree(self._run(name))
            process.wait()
        else:
            os.killpg(process.pid, number)
            self._end(process, expected=130)
        assert not (self._run(name) / "record.json").exists()
        return self.whole(name)

    def _start(self, name: str) -> "subprocess.Popen[bytes]":
        out = self.folder / name
        out.mkdir(parents=True, exist_ok=True)
        suite = {
            "title": "interruptions",
            "data": "demo",
            "backbones": {"some": {"source": self.backbone}},
            "tasks": {self.task: "demo"},
            "overrides": {self.task: ["log_every=1", *self.changes]},
        }
        (out / "suite.yaml").write_text(yaml.safe_dump(suite))
        code = "from transfer.cli import run_all_main; run_all_main()"
        roots = [f"--data={dataset}={self.data / dataset}" for dataset in ("imagenet", "coco", "ade20k")]
        command = [sys.executable, "-c", code, "--suite", str(out / "suite.yaml"), "--out", str(out), *roots]
        with open(out / "said.txt", "ab") as said:
            return subprocess.Popen(
                [*command, "--devices", "cpu:2"], stdout=said, stderr=subprocess.STDOUT, start_new_session=True
            )

    def _end(self, process: "subprocess.Popen[bytes]", expected: int) -> None:
        assert process.wait(timeout=1200) == expected, process.args

    def _run(self, name: str) -> Path:
        return next((self.folder / name / self.task / "some").glob("0-*"), self.folder / name / "not-there-yet")

    def _step(self, name: str) -> float:
        last = ProgressFile(self._run(name)).last()
        return 0 if last is None else last["step"]

    def _log(self, name: str) -> str:
        return (self.folder / name / "said.txt").read_text()

    def _outcome(self, name: str) -> Outcome:
        run = self._run(name)
        losses = {int(line["step"]): line["loss"] for line in ProgressFile(run).read() if "loss" in line}
        return Outcome(json.loads((run / "record.json").read_text())["metrics"], losses)


def main() -> None:
    """As the module says."""
    folder, backbone, data, task, *changes = sys.argv[1:]
    bench = Bench(Path(folder).resolve(), task, str(Path(backbone).resolve()), Path(data).resolve(), tuple(changes))
    whole = bench.whole("whole")
    print(f"{task} uninterrupted: {whole.metrics}", flush=True)
    for number in SIGNALS:
        step = random.randint(1, len(whole.losses) - 1)
        again = bench.interrupted(f"{number.name}-{step}", number, step)
        differ = [at for at, loss in whole.losses.items() if again.losses.get(at) != loss]
        first = f"losses differ from update {differ[0]} on" if differ else f"all {len(whole.losses)} losses equal"
        print(f"{task} {number.name} after update {step}: {again.metrics}; {first}", flush=True)


if __name__ == "__main__":
    main()
