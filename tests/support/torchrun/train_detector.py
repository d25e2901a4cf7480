"""Run by torchrun: trains the demo's detector for a few iterations on several processes."""

import os
import sys
from pathlib import Path

import torch

from crossmae.backbone import Backbone
from crossmae.recipe import load_recipe
from detection.recipe import RECIPES
from detection.training.train import train_vitdet
from transfer.task import Context

torch.set_num_threads(1)
coco, folder, *overrides = sys.argv[1:]
if os.environ["RANK"] != "0":
    folder = f"{folder}-second"
Path(folder).mkdir(exist_ok=True)
context = Context(Path(folder), Path(coco), seed=0, devices=2)
train_vitdet(Backbone.load("random:vit_demo"), load_recipe(RECIPES, "coco_vitdet_demo", overrides), context, True)
