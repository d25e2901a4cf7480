"""What an update takes at least, by part, from its kernels' FLOPs and bytes: ``python -m benchmarks.graph.roofline``.

A kernel cannot end before its products are multiplied at the best rate that was measured for any, nor before its bytes
have passed at the data sheet's bandwidth; the longer of the two counts, and the kernels of an update follow each other.
Left out are launches, the averaging of gradients over processes, and the loader.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tabulate import tabulate

from benchmarks.graph.parts import PARTS
from crossmae.analysis.cost import training_flops
from crossmae.analysis.speed import IMAGENET, data_sheet_peak
from crossmae.pretraining.recipe import PretrainRecipe, read_recipe
from crossmae.pretraining.run import load_pretraining_recipe

FIGURES = Path(__file__).with_name("figures.json")
GPUS = 8


@dataclass(frozen=True)
class Card:
    """A GPU's rates."""

    name: str
    products: float
    """FLOP/s of the best product of matrices in bf16 that was measured: the table "Maximum Achievable Matmul FLOPS" of
    github.com/stas00/ml-engineering, compute/accelerator."""
    bandwidth: float
    """Bytes/s of its memory by NVIDIA's data sheet."""

    @property
    def peak(self) -> float:
        """FLOP/s in bf16 by NVIDIA's data sheet."""
        peak = data_sheet_peak(self.name)
        assert peak is not None
        return peak

    def seconds(self, kernel: dict[str, Any]) -> float:
        """The least time of a kernel, as often as it is there."""
        return float(kernel["times"] * max(kernel["flops"] / self.products, kernel["bytes"] / self.bandwidth))


CARDS = (Card("H100", 794.5e12, 3.35e12), Card("A100", 271.2e12, 2.039e12))
"""Of both the SXM board with 80 GB."""


def read() -> dict[str, Any]:
    """Recipe to ``eager`` and ``compiled``, each with its ``kernels``."""
    figures: dict[str, Any] = json.loads(FIGURES.read_text())
    return figures


def write(figures: dict[str, Any]) -> None:
    """Keeps what ``read`` gives, a kernel a line."""
    lines = json.dumps(figures).replace('{"part"', '\n{"part"')
    FIGURES.write_text(lines + "\n")


def main() -> None:
    """Prints the tables in Markdown: kernels and bytes by part, the roofline by part, and hours on eight GPUs."""
    for recipe, ways in read().items():
        print(f"\n{recipe}, {_recipe(recipe).execution.per_device_batch} images\n")
        print(_by_part(ways))
    print("\nLeast times\n")
    print(_hours())


def least_seconds(recipe: str, way: str, card: Card) -> float:
    """Seconds of an update of ``recipe`` on one GPU, ``eager`` or ``compiled``: no GPU is faster."""
    return sum(map(card.seconds, read()[recipe][way]["kernels"]))


def least_hours(recipe: str, way: str, card: Card) -> float:
    """Hours of the recipe's whole training on ``GPUS`` cards."""
    chosen = _recipe(recipe)
    assert chosen.plan.epochs is not None
    images = IMAGENET * chosen.plan.epochs
    return images / chosen.execution.per_device_batch * least_seconds(recipe, way, card) / GPUS / 3600


def _recipe(name: str) -> PretrainRecipe:
    return read_recipe(load_pretraining_recipe(name), seed=0)


def _by_part(ways: dict[str, Any]) -> str:
    rows = []
    for part in (*PARTS, "all"):
        eager, compiled = ([k for k in ways[way]["kernels"] if part in (k["part"], "all")] for way in ways)
        times = [f"{1000 * sum(map(card.seconds, compiled)):.1f}" for card in CARDS]
        flops = sum(kernel["times"] * kernel["flops"] for kernel in compiled) / 1e12
        rows.append((part, *_amount(eager), *_amount(compiled), f"{flops:.1f}", *times))
    names = [f"{card.name}: ms at least" for card in CARDS]
    header = ("part", "eager: kernels", "GB", "compiled: kernels", "GB", "TFLOPs", *names)
    return tabulate(rows, header, "pipe", disable_numparse=True, colalign=("left", *("right",) * (len(header) - 1)))


def _hours() -> str:
    rows = []
    for recipe in read():
        chosen = _recipe(recipe)
        for way in ("eager", "compiled"):
            row = [recipe, way]
            for card in CARDS:
                rate = chosen.execution.per_device_batch / least_seconds(recipe, way, card)
                share = training_flops(chosen.model) * rate / card.peak
                row += [f"{rate:,.0f}", f"{share:.0%}", f"{least_hours(recipe, way, card):.1f}"]
            rows.append(row)
    names = [name for card in CARDS for name in (f"{card.name}: images/s at most", "MFU at most", "hours at least")]
    return tabulate(rows, ("recipe", "", *names), "pipe", disable_numparse=True)


def _amount(kernels: list[dict[str, Any]]) -> tuple[str, str]:
    """Number of kernels, and gigabytes that they read and write."""
    gigabytes = sum(kernel["times"] * kernel["bytes"] for kernel in kernels) / 1e9
    return f"{sum(kernel['times'] for kernel in kernels):,}", f"{gigabytes:.1f}"


if __name__ == "__main__":
    main()
