"""Optimizer, learning-rate schedule and trainer settings of a ViTDet configuration."""

from functools import partial
from typing import Any

from detectron2 import model_zoo
from detectron2.config import LazyCall as L
from detectron2.modeling.backbone.vit import get_vit_lr_decay_rate
from detectron2.solver import WarmupParamScheduler
from fvcore.common.param_scheduler import MultiStepParamScheduler

from detection.build.dims import Dims
from detection.recipe import VitDetProtocol


def optimizer_config(protocol: VitDetProtocol, dims: Dims) -> Any:
    """AdamW with the learning rate decaying from the last block to the first."""
    optimizer = model_zoo.get_config("common/optim.py").AdamW
    optimizer.lr, optimizer.betas = protocol.lr, protocol.betas
    optimizer.weight_decay = protocol.weight_decay
    params = optimizer.params
    params.weight_decay_norm = protocol.norm_weight_decay
    params.lr_factor_func = partial(get_vit_lr_decay_rate, num_layers=dims.depth, lr_decay_rate=protocol.layer_decay)
    decay = protocol.pos_embed_weight_decay
    params.overrides = {} if decay is None else {"pos_embed": {"weight_decay": decay}}
    return optimizer


def schedule_config(protocol: VitDetProtocol) -> Any:
    """Multiplier of the learning rate: a linear warm-up, then steps of .1; a shorter run does not reach them all."""
    milestones = [milestone for milestone in protocol.milestones if milestone < protocol.steps]
    return L(WarmupParamScheduler)(
        scheduler=L(MultiStepParamScheduler)(
            values=[float(f"1e-{step}") for step in range(len(milestones) + 1)],
            milestones=milestones,
            num_updates=protocol.steps,
        ),
        warmup_length=min(1.0, protocol.warmup_steps / protocol.steps),
        warmup_factor=protocol.warmup_factor,
    )


def train_config(protocol: VitDetProtocol) -> Any:
    """Settings of ``tools/lazyconfig_train_net.py``, for those who run the configuration with it."""
    train = model_zoo.get_config("common/train.py").train
    train.amp.enabled = True
    train.ddp.fp16_compression = True
    train.max_iter = protocol.steps
    return train
