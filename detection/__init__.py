"""ViTDet on COCO: a plain ViT backbone under detectron2's Mask R-CNN. Importing this needs no detectron2."""
