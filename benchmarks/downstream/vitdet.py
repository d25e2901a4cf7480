"""ViTDet steps: detectron2's own classes and SimpleTrainer, and ours, on one config and the same images."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from itertools import repeat
from typing import Any

import numpy as np
import torch
from detectron2.config import instantiate
from detectron2.engine import AMPTrainer, SimpleTrainer
from detectron2.modeling import GeneralizedRCNN, ViT
from detectron2.modeling.proposal_generator import RPN
from detectron2.modeling.roi_heads import FastRCNNOutputLayers, MaskRCNNConvUpsampleHead, StandardROIHeads
from detectron2.structures import Boxes, Instances, PolygonMasks
from detectron2.utils.events import EventStorage

from benchmarks.downstream.cases import Build, Size, Step
from crossmae.recipe import load_recipe
from detection.build.dims import VIT_B16, VIT_DEMO, Dims
from detection.build.model import model_config
from detection.build.optimizer import optimizer_config
from detection.recipe import RECIPES, VitDetProtocol, VitDetRecipe, read_recipe
from detection.training.loop import MicroBatchTrainer

DIMS = {"coco_vitdet_demo": VIT_DEMO, "coco_vitdet_vit_b16": VIT_B16}
OBJECTS = 6


def ours(size: Size, device: torch.device) -> Step:
    """The trainer of our runs, as the recipe sets it; bf16 on a GPU."""
    protocol, dims, gpu = _protocol(size), DIMS[size.recipe], device.type == "cuda"
    torch.set_float32_matmul_precision(_recipe(size).execution.matmul_precision)
    model = instantiate(model_config(protocol, dims, True, fused_attention=gpu)).to(device)
    options = {"model": model, "data_loader": repeat(_images(size, protocol)), "optimizer": _adamw(model, size, True)}
    return _stepping(MicroBatchTrainer(micro_batches=1, bf16=gpu, clip_grad=None, seed=0, **options))


def detectron2(
    size: Size,
    device: torch.device,
    fused: bool = False,
    losses: bool = False,
    attention: bool = False,
    precision: bool = False,
) -> Step:
    """detectron2's trainer, AMPTrainer on a GPU; ``fused`` and the like are our changes, one at a time."""
    config = model_config(_protocol(size), DIMS[size.recipe], True, fused_attention=attention)
    model = instantiate(_stock(config, losses, attention)).to(device)
    if precision:
        torch.set_float32_matmul_precision("medium")
    images = repeat(_images(size, _protocol(size)))
    trainer = AMPTrainer if device.type == "cuda" else SimpleTrainer
    return _stepping(trainer(model, images, _adamw(model, size, fused)))


def _protocol(size: Size) -> VitDetProtocol:
    return replace(_recipe(size).protocol, image_size=size.image_size, global_batch=size.batch)


def _recipe(size: Size) -> VitDetRecipe:
    return read_recipe(load_recipe(RECIPES, size.recipe))


def _stock(config: Any, losses: bool, attention: bool) -> Any:
    """The same values on detectron2's classes."""
    heads = config.roi_heads
    config._target_, config.proposal_generator._target_, heads._target_ = GeneralizedRCNN, RPN, StandardROIHeads
    if not losses:
        heads.box_predictor._target_, heads.mask_head._target_ = FastRCNNOutputLayers, MaskRCNNConvUpsampleHead
    if not attention:
        net = config.backbone.net
        net._target_ = ViT
        del net["fused_attention"], net["activation_checkpointing"]
    return config


def _adamw(model: torch.nn.Module, size: Size, fused: bool) -> torch.optim.Optimizer:
    dims: Dims = DIMS[size.recipe]
    config = optimizer_config(_protocol(size), dims)
    config.params.model = model
    if fused:
        config.fused = True
    optimizer: torch.optim.Optimizer = instantiate(config)
    return optimizer


def _stepping(trainer: SimpleTrainer) -> Step:
    trainer.iter, trainer.start_iter = 0, 0

    def step() -> None:
        # With a storage of its own, as its length would otherwise count.
        with EventStorage(trainer.iter) as trainer.storage:
            trainer.run_step()
        trainer.iter += 1

    return step


def _images(size: Size, protocol: VitDetProtocol) -> list[dict[str, Any]]:
    random = np.random.default_rng(0)
    return [_image(size.image_size, protocol.classes or 80, random) for _ in range(size.batch)]


def _image(side: int, classes: int, random: np.random.Generator) -> dict[str, Any]:
    corners = random.uniform(0, 0.6 * side, (OBJECTS, 2))
    extents = random.uniform(0.1 * side, 0.4 * side, (OBJECTS, 2))
    truth = Instances((side, side))
    truth.gt_boxes = Boxes(torch.tensor(np.concatenate([corners, corners + extents], 1), dtype=torch.float32))
    truth.gt_classes = torch.tensor(random.integers(classes, size=OBJECTS))
    truth.gt_masks = PolygonMasks([[_ellipse(*pair)] for pair in zip(corners, extents, strict=True)])
    pixels = torch.tensor(random.integers(256, size=(3, side, side)), dtype=torch.uint8)
    return {"image": pixels, "instances": truth, "height": side, "width": side, "sampling_seed": 0}


def _ellipse(corner: Any, extent: Any) -> Any:
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return (corner + extent / 2 * (1 + circle)).ravel()


BUILD: Mapping[str, Build] = {
    "detectron2": detectron2,
    "detectron2+fused": partial(detectron2, fused=True),
    "detectron2+losses": partial(detectron2, losses=True),
    "detectron2+attention": partial(detectron2, attention=True),
    "detectron2+memory": detectron2,
    "detectron2+precision": partial(detectron2, precision=True),
    "ours": ours,
}
