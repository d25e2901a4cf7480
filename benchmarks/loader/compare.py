"""Compares loading with torchvision's, on one core: every path in turn, round after round; ratios last.

python -m benchmarks.loader.compare [--rounds 5] [--data FOLDER] [--out FILE]
"""

import argparse
import statistics
import time
from pathlib import Path

import torch

from benchmarks.figures import save
from benchmarks.loader.paths import BARS, BATCH, Epoch, paths
from benchmarks.loader.photos import write_photos
from crossmae.data.staging.forms import SHORT_SIDES, Form
from crossmae.data.staging.stage import Staging
from crossmae.train.runtime.distributed import keep_freed_memory

FIGURES = Path(__file__).parent / "figures.json"
DATA = Path(".venv-bench/photos")
PACKAGES = ("torch", "torchvision", "pillow", "numpy")


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--data", type=Path, default=DATA, help="where the photographs are, or are written to")
    parser.add_argument("--out", type=Path, default=FIGURES)
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    photos, raw = prepare(options.data)
    rates: dict[str, list[float]] = {name: [] for name in paths(photos, raw)}
    for _ in range(options.rounds):
        for name, epoch in paths(photos, raw).items():
            rates[name].append(_images_per_second(epoch))
    save(options.out, rates, PACKAGES)
    show(rates)


def prepare(data: Path) -> tuple[Path, Path]:
    """The photographs, and their cache of pixels."""
    photos, raw = data / "jpeg", data / "raw"
    write_photos(photos)
    Staging(photos, raw, Form("raw", SHORT_SIDES["raw"])).run()
    return photos, raw


def show(rates: dict[str, list[float]]) -> None:
    """Prints medians and, last, ratios."""
    for name, values in rates.items():
        rate = statistics.median(values)
        print(f"{name:20} {rate:9,.0f} images/s {1000 / rate:7.3f} ms/image  ({len(values)} rounds)")
    print("\nimages/s over torchvision's (medians of the rounds; least and greatest of the rounds)")
    base = rates["torchvision"]
    bars = {bar.name: bar.times for bar in BARS}
    for name, values in rates.items():
        rounds = [mine / other for mine, other in zip(values, base, strict=True)]
        ratio = statistics.median(values) / statistics.median(base)
        bar = f", bar {bars[name]}" if name in bars else ""
        print(f"{name:20} {ratio:6.2f} ({min(rounds):.2f} to {max(rounds):.2f}){bar}")


def _images_per_second(epoch: Epoch) -> float:
    start = time.perf_counter()
    batches = sum(1 for _ in epoch())
    return batches * BATCH / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
