"""Images that eight GPUs want at half of their peak, and the cores that each loading path needs for them.

python -m benchmarks.loader.needed prints Markdown. Derived, not measured on a GPU: images/s = share x data sheet /
FLOPs of a training image; hours: of 800 epochs of ImageNet; cores = images/s over what one core delivered in
``figures.json``.
"""

import math
import statistics
from pathlib import Path

from tabulate import tabulate

from benchmarks.figures import load
from crossmae.analysis.cost import training_flops
from crossmae.analysis.speed import IMAGENET, data_sheet_peak
from crossmae.pretraining.recipe import read_recipe
from crossmae.pretraining.run import load_pretraining_recipe

FIGURES = Path(__file__).parent / "figures.json"
RECIPES = ("crossmae25_vit_b16", "mae_vit_b16", "crossmae25_vit_l16", "mae_vit_l16", "crossmae25_vit_h14")
GPUS = 8
EPOCHS = 800
SHARE = 0.5


def main() -> None:
    """Prints the table."""
    rates = {path: statistics.median(values) for path, values in load(FIGURES)["figures"].items()}
    rows = []
    for gpu in ("H100", "A100"):
        peak = data_sheet_peak(gpu)
        assert peak is not None
        for name in RECIPES:
            flops = training_flops(read_recipe(load_pretraining_recipe(name), seed=0).model)
            wanted = GPUS * SHARE * peak / flops
            hours = EPOCHS * IMAGENET / wanted / 3600
            rows.append(
                [
                    f"{gpu}, {name}",
                    f"{wanted:,.0f}",
                    f"{hours:.1f}",
                    *(math.ceil(wanted / rate) for rate in rates.values()),
                ]
            )
    delivered = ["one core delivers", "", "", *(f"{rate:,.0f}" for rate in rates.values())]
    print(tabulate([delivered, *rows], ["", "images/s", "hours", *rates], "pipe", disable_numparse=True))


if __name__ == "__main__":
    main()
