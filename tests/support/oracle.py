"""A detector that knows the answers, and can blur them. As a program: its AP on one or several processes."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.config import instantiate
from detectron2.structures import BitMasks, Boxes, BoxMode, Instances
from torch import nn

from crossmae.recipe import load_recipe
from crossmae.train.runtime.distributed import join_world
from detection.build.loader import loader_config
from detection.data.register import read_dicts, register
from detection.evaluation.metrics import evaluate
from detection.recipe import RECIPES, read_recipe
from detection.run import forgetting_groups


class Oracle(nn.Module):
    """Answers with the ground truth (without crowds); ``blur`` moves boxes and masks, and mistakes classes."""

    def __init__(self, dicts: list[dict[str, Any]], blur: float = 0.0) -> None:
        super().__init__()
        self.images = {image["image_id"]: image for image in dicts}
        self.blur = blur

    def forward(self, batch: list[dict[str, Any]]) -> list[dict[str, Instances]]:
        return [{"instances": self._answer(self.images[image["image_id"]])} for image in batch]

    def _answer(self, image: dict[str, Any]) -> Instances:
        size = (image["height"], image["width"])
        things = [thing for thing in image["annotations"] if not thing["iscrowd"]]
        random = np.random.default_rng(image["image_id"])
        answer = Instances(size)
        boxes = np.array([BoxMode.convert(thing["bbox"], BoxMode.XYWH_ABS, BoxMode.XYXY_ABS) for thing in things])
        answer.pred_boxes = Boxes(boxes + self.blur * random.normal(size=boxes.shape))
        wrong = random.random(len(things)) < self.blur / 10
        classes = np.array([thing["category_id"] for thing in things])
        answer.pred_classes = torch.as_tensor((classes + wrong) % 4)
        answer.scores = torch.as_tensor(random.random(len(things)), dtype=torch.float32)
        masks = BitMasks.from_polygon_masks([thing["segmentation"] for thing in things], *size).tensor
        shift = round(self.blur)
        answer.pred_masks = torch.roll(masks, (shift, shift), dims=(1, 2))
        return answer


def measure(coco: Path, folder: Path, blur: float) -> dict[str, dict[str, float]]:
    """COCOEvaluator's results of the oracle on the validation images."""
    protocol = read_recipe(load_recipe(RECIPES, "coco_vitdet_demo")).protocol
    loaders = loader_config(protocol, (register(coco, "train"), register(coco, "val")), workers=0, test_batch=2)
    dicts = read_dicts(coco, "val", 4)
    return evaluate(Oracle(dicts, blur), instantiate(loaders.test), register(coco, "val"), folder)


if __name__ == "__main__":
    with join_world("cpu") as world, forgetting_groups():
        results = measure(Path(sys.argv[1]), Path(sys.argv[2]), blur=2.0)
        if world.is_main:
            Path(sys.argv[3]).write_text(json.dumps(results))
