"""The demo's small detector on the demo's data, for detectron2's own tools on a CPU."""

from crossmae.data.demo.write import demo_root
from detection.build.config import native_config
from detection.build.dims import VIT_DEMO
from detection.data.register import register

config = native_config(
    "coco_vitdet_demo", VIT_DEMO, names=(register(demo_root("coco"), "train"), register(demo_root("coco"), "val"))
)
model, dataloader, optimizer = config.model, config.dataloader, config.optimizer
lr_multiplier, train = config.lr_multiplier, config.train
