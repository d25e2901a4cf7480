"""Kernels and bytes of a pretraining update, eager and compiled: ``python -m benchmarks.graph.compare [RECIPE ...]``.

Without a GPU: see ``benchmarks.graph.kernels``. Each recipe is counted at its own batch in two processes, which
takes minutes; the figures go to ``figures.json`` beside this file, and the tables are printed from it.
"""

import json
import subprocess
import sys
from collections import Counter
from typing import Any

from benchmarks.graph import roofline

RECIPES = ("crossmae25_vit_b16", "mae_vit_b16")


def main(recipes: tuple[str, ...]) -> None:
    """Counts ``recipes``, keeps their figures and prints all tables."""
    figures = roofline.read() if roofline.FIGURES.exists() else {}
    for recipe in recipes:
        figures[recipe] = {way: _grouped(_counted(way, recipe)) for way in ("eager", "compiled")}
        roofline.write(figures)
    roofline.main()


def _counted(way: str, recipe: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.graph.kernels", way, recipe]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    update: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return update


def _grouped(update: dict[str, Any]) -> dict[str, Any]:
    """Equal kernels once, with how many ``times`` they are there."""
    times = Counter((kernel["part"], kernel["name"], kernel["bytes"], kernel["flops"]) for kernel in update["kernels"])
    names = ("part", "name", "bytes", "flops", "times")
    return {**update, "kernels": [dict(zip(names, (*kernel, count), strict=True)) for kernel, count in times.items()]}


if __name__ == "__main__":
    main(tuple(sys.argv[1:]) or RECIPES)
