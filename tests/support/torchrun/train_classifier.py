"""Run by torchrun: trains a classifier on several processes, or evaluates the finished one that is named."""

import json
import os
import sys
from pathlib import Path

from crossmae.backbone import Backbone
from crossmae.recipe import Recipe
from transfer.classification.task import ClassificationTask
from transfer.harness.plan.tasks import load_specs
from transfer.harness.worker.execute import QuietContext
from transfer.task import Context

root, folder, recipe = Path(sys.argv[1]), Path(sys.argv[2]), Recipe(**json.loads(sys.argv[3]))
main = os.environ["RANK"] == "0"
task = ClassificationTask(load_specs()["imagenet_finetune"])
context = (Context if main else QuietContext)(folder, root, seed=5, devices=int(os.environ["WORLD_SIZE"]))
if len(sys.argv) > 4:
    metrics = task.evaluate(Path(sys.argv[4]), recipe, context)
else:
    metrics = task.run(Backbone.load("random:vit_demo", seed=3), recipe, context)
if main:
    (folder / "metrics.json").write_text(json.dumps(metrics))
