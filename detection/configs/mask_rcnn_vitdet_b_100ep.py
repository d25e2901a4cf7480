"""ViTDet Mask R-CNN, ViT-B, 100 epochs of COCO: upstream's file of the same name, detectron2 commit 02b5c4e2."""

from detection.build.config import native_config
from detection.build.dims import VIT_B16

config = native_config("coco_vitdet_vit_b16", VIT_B16)
model, dataloader, optimizer = config.model, config.dataloader, config.optimizer
lr_multiplier, train = config.lr_multiplier, config.train
