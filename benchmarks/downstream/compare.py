"""Our downstream steps next to the engines' own: each in its own process, in turn, round after round; ratios last.

python -m benchmarks.downstream.compare [--rounds 3] [--case finetune-demo ...] [--out FILE] [--add]

Cases of a GPU are measured only if named.
"""

import statistics
from collections.abc import Iterable
from pathlib import Path

from benchmarks.downstream.cases import CASES
from benchmarks.figures import save
from benchmarks.rounds import Run, arguments, earlier, kinds, timed, values

FIGURES = Path(__file__).parent / "figures.json"
PACKAGES = (
    "torch", "timm", "detectron2", "onedl-mmcv", "onedl-mmengine", "onedl-mmsegmentation", "hotcoco", "pycocotools"
)  # fmt: skip


def main() -> None:
    """Measures and prints."""
    options = arguments(__doc__, CASES, FIGURES)
    runs = earlier(options)
    for case in options.case or [name for name in CASES if CASES[name].device == "cpu"]:
        for _ in range(options.rounds):
            runs += [timed("benchmarks.downstream.one", case, name, {}) for name in CASES[case].names]
            save(options.out, runs, PACKAGES)
    for line in _table(runs):
        print(line)


def _table(runs: list[Run]) -> Iterable[str]:
    """By case and implementation: medians, and how many times as fast as the engine's own."""
    yield f"\n{'case':14} {'implementation':21} {'rounds':>6} {'ms':>9} {'times':>6} {'range':>14} {'by processor':>12}"
    for case, name in kinds(runs):
        ratios = _ratios(runs, case, name, "ms_per_step")
        processor = statistics.median(_ratios(runs, case, name, "processor_ms_per_step"))
        ms = statistics.median(values(runs, case, name, "ms_per_step"))
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        bar = f"  bar {CASES[case].bar}" if name == "ours" else ""
        times = statistics.median(ratios)
        yield f"{case:14} {name:21} {len(ratios):6} {ms:9.1f} {times:6.2f} {spread:>14} {processor:12.2f}{bar}"


def _ratios(runs: list[Run], case: str, name: str, key: str) -> list[float]:
    """Round by round, the engine's own time over that of ``name``."""
    own, mine = (values(runs, case, each, key) for each in (CASES[case].names[0], name))
    return [theirs / ours for theirs, ours in zip(own, mine, strict=False)]


if __name__ == "__main__":
    main()
