"""The data half of a ViTDet configuration: large-scale jitter in training, one scale in evaluation."""

from typing import Any

import detectron2.data.transforms as T
from detectron2 import model_zoo
from detectron2.config import LazyCall as L

from detection.recipe import Masks, VitDetProtocol


def loader_config(
    protocol: VitDetProtocol, names: tuple[str, str], workers: int, test_batch: int = 1, masks: Masks = "polygon"
) -> Any:
    """``coco_loader_lsj.py`` of upstream's ViTDet project over the registered data sets ``names`` (training, test)."""
    side = protocol.image_size
    least, greatest = protocol.scale_jitter
    loader = model_zoo.get_config("common/data/coco.py").dataloader
    mapper = loader.train.mapper
    mapper.augmentations = [
        L(T.RandomFlip)(horizontal=True),
        L(T.ResizeScale)(min_scale=least, max_scale=greatest, target_height=side, target_width=side),
        L(T.FixedSizeCrop)(crop_size=(side, side), pad=False),
    ]
    mapper.image_format = "RGB"
    # Boxes are recomputed from the masks, because the crop cuts objects; without masks, they are cut themselves.
    mapper.recompute_boxes = mapper.use_instance_mask = masks is not None
    if masks == "bitmask":
        mapper.instance_mask_format = masks
    loader.train.dataset.names, loader.test.dataset.names = names
    loader.train.total_batch_size = protocol.global_batch
    loader.train.num_workers = loader.test.num_workers = workers
    loader.test.mapper.augmentations = [L(T.ResizeShortestEdge)(short_edge_length=side, max_size=side)]
    loader.test.batch_size = test_batch
    return loader
