"""How a training step scales on a CPU: with processes, with the size of the image, with the batch.

python -m benchmarks.scaling.run [processes|size|batch ...]     # all three unless named
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.figures import load, save

FIGURES = Path(__file__).parent
ON_A_CPU = ("precision=fp32", "matmul_precision=medium")
Row = dict[str, Any]


def main(names: list[str]) -> None:
    """Measures, prints a row per figure and keeps them in ``NAME.json``."""
    for name in names or list(STUDIES):
        rows = []
        for row in STUDIES[name]():
            rows.append(row)
            print("  ".join(f"{key} {_short(value)}" for key, value in row.items()), flush=True)
            save(FIGURES / f"{name}.json", rows, ("torch",))


def processes() -> Iterator[Row]:
    """One process with one and with two threads, and two processes with one: the batch shared, then one batch each."""
    for count, threads, batch in ((1, 1, 128), (1, 2, 128), (2, 1, 128), (2, 1, 256)):
        values = (f"global_batch={batch}", f"per_device_batch={batch // count}")
        speed = _speed("demo_crossmae", *values, processes=count, threads=threads, steps=60)
        yield {"processes": count, "threads": threads, "batch": batch, **_figures(speed)}


def size() -> Iterator[Row]:
    """Milliseconds per image against the side of the image, for CrossMAE and MAE."""
    for side in (128, 224, 320):
        for recipe in ("crossmae25_vit_s16", "mae_vit_s16"):
            values = (f"model.image_size={side}", "global_batch=4", "per_device_batch=4", *ON_A_CPU)
            yield {"recipe": recipe, "side": side, **_figures(_speed(recipe, *values, threads=1, steps=4))}


def batch() -> Iterator[Row]:
    """Milliseconds per image against the batch."""
    recipe = "crossmae25_vit_s16"
    for count in (1, 2, 4, 8, 16, 32):
        values = (f"global_batch={count}", f"per_device_batch={count}", *ON_A_CPU)
        yield {"recipe": recipe, "batch": count, **_figures(_speed(recipe, *values, threads=1, steps=4))}


STUDIES = {"processes": processes, "size": size, "batch": batch}


def _speed(recipe: str, *values: str, processes: int = 1, threads: int = 2, steps: int) -> Row:
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    with TemporaryDirectory() as folder:
        out = Path(folder) / "speed.json"
        command = [sys.executable, *launcher, "-m", "crossmae", "bench", recipe, *values]
        command += ["--steps", str(steps), "--warmup", "2", "--device", "cpu", "--out", str(out)]
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        subprocess.run(command, check=True, capture_output=True, env=environment)
        return load(out)


def _figures(speed: Row) -> Row:
    rate = speed["images_per_second"]
    return {
        "steps_per_second": 1000 / speed["ms_per_step"],
        "images_per_second": rate,
        "ms_per_image": 1000 / rate,
        "memory_mb": speed["memory_bytes"] / 2**20,
        "matmul_share": speed["matmul_share"],
    }


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main(sys.argv[1:])
