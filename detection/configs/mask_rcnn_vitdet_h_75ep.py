"""ViTDet Mask R-CNN, ViT-H, 75 epochs of COCO: upstream's file of the same name, detectron2 commit 02b5c4e2."""

from detection.build.config import native_config
from detection.build.dims import VIT_H14

config = native_config("coco_vitdet_vit_h14", VIT_H14)
model, dataloader, optimizer = config.model, config.dataloader, config.optimizer
lr_multiplier, train = config.lr_multiplier, config.train
