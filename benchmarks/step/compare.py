"""Training steps side by side: every implementation in its own process, in turn, round after round; ratios last.

python -m benchmarks.step.compare [--rounds 3] [--case vit_b16 ...] [--out FILE] [--add]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.figures import load, save
from benchmarks.step.cases import BARS, CASES, Bar

FIGURES = Path(__file__).parent / "figures.json"
FIGURE_KEYS = ("ms_per_step", "images_per_second", "memory_mb")
Run = dict[str, Any]


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--case", action="append", choices=list(CASES))
    parser.add_argument("--out", type=Path, default=FIGURES)
    parser.add_argument("--add", action="store_true", help="to the rounds that the file holds already")
    options = parser.parse_args()
    runs: list[Run] = load(options.out)["figures"] if options.add and options.out.exists() else []
    for _ in range(options.rounds):
        for case in options.case or CASES:
            for name in CASES[case].names:
                runs.append(_measured(name, case))
                save(options.out, runs)
    _show(runs)


def _measured(name: str, case: str) -> Run:
    command = [sys.executable, "-m", "benchmarks.step.one", name, case]
    environment = {**os.environ, "OMP_NUM_THREADS": str(CASES[case].threads)}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    run = {"case": case, "name": name, **json.loads(done.stdout.splitlines()[-1])}
    print(f"{case} {name}: {run['images_per_second']:.2f} images/s, {run['memory_mb']:.0f} MB", flush=True)
    return run


def _show(runs: list[Run]) -> None:
    print(f"\n{'case':16} {'batch':>5} {'implementation':15} {'rounds':>6} {'ms/step':>8} {'images/s':>9} {'MB':>6}")
    for case, name in dict.fromkeys((run["case"], run["name"]) for run in runs):
        ms, rate, memory = (_median(runs, case, name, key) for key in FIGURE_KEYS)
        rounds = len(_values(runs, case, name, FIGURE_KEYS[0]))
        print(f"{case:16} {CASES[case].batch:5} {name:15} {rounds:6} {ms:8.1f} {rate:9.2f} {memory:6.0f}")
    print("\nratios of images/s (medians of the rounds; least and greatest of the rounds)")
    for line in _ratios(runs):
        print(line)


def _ratios(runs: list[Run]) -> Iterable[str]:
    for bar in BARS:
        ours = _values(runs, bar.case, bar.name, "images_per_second")
        others = _values(runs, bar.case, bar.other, "images_per_second")
        if ours and others:
            yield _ratio(runs, bar, ours, others)


def _ratio(runs: list[Run], bar: Bar, ours: list[float], others: list[float]) -> str:
    ratio = statistics.median(ours) / statistics.median(others)
    rounds = [mine / other for mine, other in zip(ours, others, strict=False)]
    spread = f"{min(rounds):.2f} to {max(rounds):.2f}"
    line = f"{bar.case} {bar.name} / {bar.other}: {ratio:.2f} ({spread}), bar {bar.times}"
    if bar.lean:
        memory = [_median(runs, bar.case, name, "memory_mb") for name in (bar.name, bar.other)]
        line += f"; memory {memory[0]:.0f} to {memory[1]:.0f} MB"
    return line


def _values(runs: list[Run], case: str, name: str, key: str) -> list[float]:
    return [run[key] for run in runs if (run["case"], run["name"]) == (case, name)]


def _median(runs: list[Run], case: str, name: str, key: str) -> float:
    return statistics.median(_values(runs, case, name, key))


if __name__ == "__main__":
    main()
