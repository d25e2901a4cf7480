"""ViTDet Mask R-CNN, ViT-S, 100 epochs of COCO. Derived: ViTDet has no ViT-S; every value is ViT-B's."""

from detection.build.config import native_config
from detection.build.dims import VIT_S16

config = native_config("coco_vitdet_vit_s16", VIT_S16)
model, dataloader, optimizer = config.model, config.dataloader, config.optimizer
lr_multiplier, train = config.lr_multiplier, config.train
