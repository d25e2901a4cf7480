"""Run by torchrun: a frozen probe on several processes."""

import json
import os
import sys
from pathlib import Path

from crossmae.backbone import Backbone
from crossmae.recipe import Recipe
from transfer.frozen.logistic import LogisticTask
from transfer.harness.plan.tasks import load_specs
from transfer.harness.worker.execute import QuietContext
from transfer.task import Context

root, folder, recipe = Path(sys.argv[1]), Path(sys.argv[2]), Recipe(**json.loads(sys.argv[3]))
main = os.environ["RANK"] == "0"
context = (Context if main else QuietContext)(folder, root, seed=5, devices=int(os.environ["WORLD_SIZE"]))
metrics = LogisticTask(load_specs()["imagenet_logistic"]).run(Backbone.load("random:vit_demo", seed=3), recipe, context)
if main:
    (folder / "metrics.json").write_text(json.dumps(metrics))
