"""Images/s and MFU of training steps in bf16 on one GPU, and the hours of a whole pretraining on eight of them.

python -m benchmarks.gpu.mfu [batch]
"""

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.figures import load

RECIPES = ("crossmae25_vit_b16", "crossmae75_vit_b16", "mae_vit_b16", "crossmae25_vit_l16", "mae_vit_l16")
EPOCHS = 800
GPUS = 8


def main(batch: int) -> None:
    """Times every recipe, as it is and compiled."""
    print(f"{'recipe':20} {'compile':>7} {'images/s':>9} {'GB':>6} {'MFU':>6} {'hours on 8':>10}")
    for recipe in RECIPES:
        for compiled in ("false", "true"):
            speed = _speed(recipe, f"global_batch={batch}", f"per_device_batch={batch}", f"compile={compiled}")
            hours = EPOCHS * speed["minutes_per_epoch"] / 60 / GPUS
            mfu = "" if speed["mfu"] is None else f"{speed['mfu']:.1%}"
            rate, memory = speed["images_per_second"], speed["memory_bytes"] / 2**30
            print(f"{recipe:20} {compiled:>7} {rate:9.0f} {memory:6.1f} {mfu:>6} {hours:10.1f}", flush=True)


def _speed(recipe: str, *values: str) -> dict[str, float]:
    with TemporaryDirectory() as folder:
        out = Path(folder) / "speed.json"
        command = [sys.executable, "-m", "crossmae", "bench", recipe, *values, "--device", "cuda", "--out", str(out)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return load(out)


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 256)
