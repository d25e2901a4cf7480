"""Run by torchrun: evaluates a checkpoint and writes the metrics."""

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

from crossmae.recipe import load_recipe
from segmentation.recipe import RECIPES
from segmentation.run import evaluate
from transfer.task import Context

task = json.loads(Path(sys.argv[1]).read_text())
recipe = load_recipe(RECIPES, "ade20k_upernet_demo")
recipe = replace(recipe, protocol=task["recipe"])
context = Context(folder=Path(task["out"]), data_root=Path(task["data"]), seed=0)
metrics = evaluate(Path(task["weights"]), recipe, context)
if os.environ["RANK"] == "0":
    (context.folder / "metrics.json").write_text(json.dumps(metrics))
