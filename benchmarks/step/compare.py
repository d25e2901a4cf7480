"""Training steps side by side: every implementation in its own process, in turn, round after round; ratios last.

python -m benchmarks.step.compare [--rounds 3] [--case vit_b16 ...] [--out FILE] [--add]
"""

import statistics
from collections.abc import Iterable
from pathlib import Path

from benchmarks.figures import save
from benchmarks.rounds import Run, arguments, earlier, kinds, timed, values
from benchmarks.step.cases import BARS, CASES, Bar

FIGURES = Path(__file__).parent / "figures.json"
FIGURE_KEYS = ("ms_per_step", "images_per_second", "memory_mb")


def main() -> None:
    """Measures and prints."""
    options = arguments(__doc__, CASES, FIGURES)
    runs = earlier(options)
    for _ in range(options.rounds):
        for case in options.case or CASES:
            threads = {"OMP_NUM_THREADS": str(CASES[case].threads)}
            for name in CASES[case].names:
                runs.append(timed("benchmarks.step.one", case, name, threads))
                save(options.out, runs)
    _show(runs)


def _show(runs: list[Run]) -> None:
    print(f"\n{'case':16} {'batch':>5} {'implementation':15} {'rounds':>6} {'ms/step':>8} {'images/s':>9} {'MB':>6}")
    for case, name in kinds(runs):
        ms, rate, memory = (statistics.median(values(runs, case, name, key)) for key in FIGURE_KEYS)
        rounds = len(values(runs, case, name, FIGURE_KEYS[0]))
        print(f"{case:16} {CASES[case].batch:5} {name:15} {rounds:6} {ms:8.1f} {rate:9.2f} {memory:6.0f}")
    print("\nratios of images/s (medians of the rounds; least and greatest of the rounds)")
    for line in _ratios(runs):
        print(line)


def _ratios(runs: list[Run]) -> Iterable[str]:
    for bar in BARS:
        ours = values(runs, bar.case, bar.name, "images_per_second")
        others = values(runs, bar.case, bar.other, "images_per_second")
        if ours and others:
            yield _ratio(runs, bar, ours, others)


def _ratio(runs: list[Run], bar: Bar, ours: list[float], others: list[float]) -> str:
    ratio = statistics.median(ours) / statistics.median(others)
    rounds = [mine / other for mine, other in zip(ours, others, strict=False)]
    spread = f"{min(rounds):.2f} to {max(rounds):.2f}"
    line = f"{bar.case} {bar.name} / {bar.other}: {ratio:.2f} ({spread}), bar {bar.times}"
    if bar.lean:
        memory = [statistics.median(values(runs, bar.case, name, "memory_mb")) for name in (bar.name, bar.other)]
        line += f"; memory {memory[0]:.0f} to {memory[1]:.0f} MB"
    return line


if __name__ == "__main__":
    main()
