"""All that a GPU has to show: ``make gpu``, or python -m benchmarks.gpu.run [--minutes 30] [--part steps].

Every case is a process of its own: one that fails, or takes too long, is reported, and the others run. Writes one JSON
file and one page with the GPU's name into ``runs/gpu``, after every case anew.
"""

import argparse
import json
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import torch

from benchmarks.figures import save
from benchmarks.gpu.cases import Case, full, tiny
from benchmarks.gpu.page import page

PACKAGES = (
    "torch", "torchvision", "triton", "timm", "transformers", "birder", "flash-attn", "detectron2",
    "onedl-mmcv", "onedl-mmengine", "onedl-mmsegmentation",
)  # fmt: skip

LEAST_SECONDS = 10
"""With less time left, no case is begun."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the cases; returns 1 if one failed or there is no GPU."""
    parser = argparse.ArgumentParser(prog="make gpu", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30, help="for all cases together")
    parser.add_argument("--part", action="append", choices=("tests", "steps", "runs", "downstream", "processes"))
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="cpu: the same code at tiny size")
    parser.add_argument("--out", type=Path, default=Path("runs/gpu"))
    options = parser.parse_args(arguments)
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if options.device == "cuda" and not gpus:
        built = f"CUDA {torch.version.cuda}" if torch.version.cuda else "the CPU alone"
        print(
            f"gpu: torch finds no GPU on this machine (torch {torch.__version__}, built for {built})", file=sys.stderr
        )
        return 1
    cases = [case for case in (full() if gpus else tiny()) if options.part is None or case.part in options.part]
    name = torch.cuda.get_device_name(0) if options.device == "cuda" else "CPU, a dry run at tiny size"
    return run(cases, name, gpus, 60 * options.minutes, options.out)


def run(cases: Sequence[Case], name: str, gpus: int, seconds: float, out: Path) -> int:
    """Runs ``cases`` one after the other for ``seconds`` at most; returns how many failed, as 0 or 1."""
    out.mkdir(parents=True, exist_ok=True)
    stem = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    deadline, begin = time.monotonic() + seconds, time.monotonic()
    rows: list[dict[str, Any]] = []
    for number, case in enumerate(cases, 1):
        row = _row(case, gpus, deadline)
        rows.append(row)
        print(f"[{number}/{len(cases)}] {case.part}: {case.name}: {row['outcome']}", flush=True)
        minutes = (time.monotonic() - begin) / 60
        save(out / f"{stem}.json", {"device": name, "gpus": gpus, "minutes": minutes, "cases": rows}, PACKAGES)
        (out / f"{stem}.md").write_text(page(name, gpus, minutes, rows))
    print(f"{out / stem}.md and .json")
    return int(any(row["outcome"].startswith("failed") for row in rows))


def _row(case: Case, gpus: int, deadline: float) -> dict[str, Any]:
    row = {"part": case.part, "name": case.name}
    if reason := case.missing(gpus):
        return {**row, "outcome": f"not run: {reason}"}
    begin = time.monotonic()
    if deadline - begin < LEAST_SECONDS:
        return {**row, "outcome": "not run: no time left"}
    outcome, figures = _execute(case, min(60 * case.minutes, deadline - begin))
    return {**row, "outcome": outcome, "seconds": round(time.monotonic() - begin, 1), "figures": figures}


def _execute(case: Case, seconds: float) -> tuple[str, dict[str, Any]]:
    """How the case ended in a few words, and what it measured."""
    command = [sys.executable, "-m", *case.arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        output, errors = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        return f"failed: still running after {seconds:.0f} s", {}
    finally:
        _end(process.pid)
    last = _last_line(output)
    if process.returncode:
        reason = last if case.part == "tests" else _last_line(errors) or last
        return f"failed: {reason[:200] or process.returncode}", {"output": output[-3000:], "errors": errors[-3000:]}
    return "done", _figures(last)


def _end(pid: int) -> None:
    """Ends a case with all that it started; torchrun's processes have sessions of their own."""
    if not psutil.pid_exists(pid):
        return
    family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    for process in family:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(family, timeout=10)


def _figures(line: str) -> dict[str, Any]:
    try:
        figures: dict[str, Any] = json.loads(line)
    except ValueError:
        return {"output": line}
    return figures


def _last_line(text: str) -> str:
    """The last line that is not empty, cut to what a table bears."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:2000] if lines else ""


if __name__ == "__main__":
    sys.exit(main())
