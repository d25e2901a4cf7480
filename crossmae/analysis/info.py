"""Parameters and cost of a model, by part."""

from dataclasses import dataclass

import torch
from torch import nn

from crossmae.analysis.flops import forward_flops
from crossmae.model.autoencoder import MaskedAutoencoder
from crossmae.model.config import MAEConfig


@dataclass(frozen=True)
class Parameters:
    """Number of parameters."""

    trainable: int
    fixed: int
    """Position embeddings."""


@dataclass(frozen=True)
class Info:
    """What a configuration amounts to."""

    encoder: Parameters
    decoder: Parameters
    flops: dict[str, int]
    """Forward FLOPs per image by part; see ``forward_flops``."""


def info_of(config: MAEConfig) -> Info:
    """Counts without allocating any weight."""
    with torch.device("meta"):
        model = MaskedAutoencoder(config)
    return Info(_parameters(model.encoder), _parameters(model.decoder), forward_flops(config))


def _parameters(module: nn.Module) -> Parameters:
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in module.parameters()]
    return Parameters(sum(n for n, trains in sizes if trains), sum(n for n, trains in sizes if not trains))
