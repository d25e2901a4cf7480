"""Whole runs of ``crossmae pretrain``: python -m benchmarks.gpu.pretraining staged|resumed|shared DEVICE SIZE.

``staged``: minutes of training from pixels that ``crossmae stage`` wrote. ``resumed``: a run that is killed with
``kill -9`` and started again, next to an undisturbed one. ``shared``: the same run on one process and on two. ``SIZE``
is ``full`` or ``tiny``. Each prints one JSON object.
"""

import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file

from crossmae.data.demo.write import write_unlabelled
from crossmae.data.parallel import on_all_cores
from crossmae.run.progress import ProgressFile
from crossmae.run.stop import EXIT_RESUME

ALONE = (sys.executable, "-m", "crossmae")
TWO = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "crossmae")


@dataclass(frozen=True)
class Size:
    """How large the runs are."""

    recipe: str
    """Of the staged run."""
    photos: int
    """Images that are staged."""
    seconds: float
    """After its first update, how long the staged run trains."""
    overrides: tuple[str, ...]
    """Of the staged run."""
    demo_images: int
    demo_steps: int
    """Updates of the other runs; a state is saved ten times."""
    demo_batch: int


SIZES = {
    "full": Size("crossmae25_vit_b16", 16_384, 300, ("log_every=5",), 2_048, 400, 128),
    "tiny": Size("demo_crossmae", 32, 0, ("global_batch=8", "in_memory=false", "log_every=1"), 32, 20, 4),
}


def staged(device: str, size: Size, folder: Path) -> dict[str, Any]:
    """Images per second, the share of time spent waiting for data, losses, and how the run answered SIGTERM."""
    (folder / "photos").mkdir()
    for _ in on_all_cores(partial(_photo, folder / "photos"), list(range(size.photos)), "Writing photographs"):
        pass
    cache, out = folder / "cache", folder / "run"
    before = time.perf_counter()
    subprocess.run([*ALONE, "stage", str(folder / "photos"), str(cache), "--form", "raw"], check=True)
    staging = time.perf_counter() - before

    workers = max(1, min(14, len(os.sched_getaffinity(0)) - 2))
    overrides = [*size.overrides, f"workers={workers}", f"per_device_batch={_batch(device, size)}"]
    process = _pretrain(ALONE, size.recipe, out, cache, device, *overrides)
    _await(lambda: bool(ProgressFile(out).read()), process)
    _await_time(size.seconds, process)
    process.send_signal(signal.SIGTERM)
    code = process.wait()
    if code != EXIT_RESUME:
        raise RuntimeError(f"the run ended with {code} and not with {EXIT_RESUME}: {_log(out)}")
    lines = ProgressFile(out).read()
    rates, waits = ([line[name] for line in lines[1:] or lines] for name in ("images_per_second", "waiting"))
    return {
        "images_per_second": statistics.median(rates),
        "waiting": statistics.mean(waits),
        "memory_bytes": lines[-1]["memory"],
        "updates": lines[-1]["step"],
        "loss_first": lines[0]["loss"],
        "loss_last": lines[-1]["loss"],
        "staged_images_per_second": size.photos / staging,
        "workers": workers,
    }


def resumed(device: str, size: Size, folder: Path) -> dict[str, Any]:
    """How far the weights of a killed and resumed run are from those of an undisturbed one."""
    data, every = _demo_images(size, folder), size.demo_steps // 10
    options = (
        f"steps={size.demo_steps}",
        f"global_batch={size.demo_batch}",
        f"checkpoint_every={every}",
        "log_every=1",
    )
    runs = {name: _pretrain(ALONE, "demo_crossmae", folder / name, data, device, *options) for name in ("whole", "cut")}
    _await(lambda: _step(folder / "cut") >= 3 * every, runs["cut"])
    runs["cut"].kill()
    runs["cut"].wait()
    again = _pretrain(ALONE, "demo_crossmae", folder / "cut", data, device, *options)
    for name, process in (("whole", runs["whole"]), ("cut", again)):
        if process.wait():
            raise RuntimeError(f"the run {name!r} failed: {_log(folder / name)}")
    whole, cut = (load_file(folder / name / "checkpoint" / "model.safetensors") for name in ("whole", "cut"))
    starts = [line for line in (folder / "cut" / "log.txt").read_text().splitlines() if "resumed at step" in line]
    if not starts:
        raise RuntimeError(f"the killed run was not resumed: {_log(folder / 'cut')}")
    return {
        "resumed": starts[-1].partition("resumed")[2].strip(),
        "greatest_difference_of_weights": max(float((whole[name] - cut[name]).abs().max()) for name in whole),
        "loss_whole": _losses(folder / "whole")[size.demo_steps],
        "loss_resumed": _losses(folder / "cut")[size.demo_steps],
    }


def shared(device: str, size: Size, folder: Path) -> dict[str, Any]:
    """How far the losses on two processes are from those on one, in fp32; at most ``greatest_difference``."""
    data = _demo_images(size, folder)
    options = (f"steps={size.demo_steps}", f"global_batch={size.demo_batch}", "precision=fp32", "log_every=1")
    for name, launcher in (("one", ALONE), ("two", TWO)):
        if _pretrain(launcher, "demo_crossmae", folder / name, data, device, *options).wait():
            raise RuntimeError(f"the run on {name} failed: {_log(folder / name)}")
    one, two = (_losses(folder / name) for name in ("one", "two"))
    return {
        "greatest_difference": max(abs(one[step] - two[step]) for step in one),
        "loss_one": one[size.demo_steps],
        "loss_two": two[size.demo_steps],
    }


def _pretrain(
    launcher: tuple[str, ...], recipe: str, out: Path, data: Path, device: str, *overrides: str
) -> "subprocess.Popen[bytes]":
    arguments = ["pretrain", recipe, *overrides, "--out", str(out), "--data", str(data), "--device", device]
    return subprocess.Popen([*launcher, *arguments], stdout=subprocess.DEVNULL)


def _await(has_come: Callable[[], bool], process: "subprocess.Popen[bytes]") -> None:
    while not has_come():
        if process.poll() is not None:
            raise RuntimeError(f"the run ended with {process.returncode} before its time")
        time.sleep(0.02)


def _await_time(seconds: float, process: "subprocess.Popen[bytes]") -> None:
    until = time.monotonic() + seconds
    _await(lambda: time.monotonic() >= until, process)


def _photo(folder: Path, number: int) -> None:
    """Something smooth of 500 x 375 pixels, as a JPEG file: about as much work to read as a photograph."""
    random = np.random.default_rng(number)
    pixels = Image.fromarray(random.integers(0, 256, (48, 64, 3), dtype=np.uint8))
    pixels.resize((500, 375), Image.Resampling.BICUBIC).save(folder / f"{number:06d}.jpg", quality=90)


def _demo_images(size: Size, folder: Path) -> Path:
    write_unlabelled(folder / "data", size.demo_images)
    return folder / "data"


def _batch(device: str, size: Size) -> int:
    """The recipe's 512 on a GPU of 80 GB, less on smaller ones."""
    if device != "cuda":
        return 8
    shares = torch.cuda.get_device_properties(0).total_memory / (75 * 2**30)
    return next(batch for batch in (512, 256, 128, 64, 32) if batch <= max(32, 512 * shares))


def _step(folder: Path) -> float:
    last = ProgressFile(folder).last()
    return 0.0 if last is None else last["step"]


def _losses(folder: Path) -> Mapping[float, float]:
    return {line["step"]: line["loss"] for line in ProgressFile(folder).read() if "loss" in line}


def _log(folder: Path) -> str:
    path = folder / "log.txt"
    return " | ".join(path.read_text().splitlines()[-3:]) if path.exists() else "no log"


RUNS = {"staged": staged, "resumed": resumed, "shared": shared}


def main(name: str, device: str, size: str) -> None:
    """Makes one of the runs in a folder that is deleted afterwards, and prints its figures."""
    folder = Path(tempfile.mkdtemp(prefix="crossmae-gpu-"))
    try:
        print(json.dumps(RUNS[name](device, SIZES[size], folder)))
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main(*sys.argv[1:])
