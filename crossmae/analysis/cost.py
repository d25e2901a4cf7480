"""What a model costs, by part: parameters and floating point operations; multiplying and adding count as two."""

from dataclasses import dataclass

import torch
from torch import nn

from crossmae.model.autoencoder import MaskedAutoencoder
from crossmae.model.config import MAEConfig


@dataclass(frozen=True)
class Parameters:
    """Numbers of parameters."""

    trainable: int
    fixed: int
    """Number in the position embeddings, which are not trained."""


@dataclass(frozen=True)
class Cost:
    """What the model of a configuration amounts to."""

    encoder: Parameters
    decoder: Parameters
    flops: dict[str, int]
    """Forward FLOPs per image by part; see ``forward_flops``."""


def cost_of(config: MAEConfig) -> Cost:
    """Counts without allocating any weight."""
    with torch.device("meta"):
        model = MaskedAutoencoder(config)
    return Cost(_parameters(model.encoder), _parameters(model.decoder), forward_flops(config))


def forward_flops(config: MAEConfig) -> dict[str, int]:
    """FLOPs per image of the matrix products, by part of the model: norms, softmax and GELU are left out.

    ``encoder`` and ``decoder`` are the blocks alone. Only visible patches are embedded.
    """
    dim, decoder_dim = config.embed_dim, config.decoder_embed_dim
    pixels = 3 * config.patch_size**2
    visible, predicted = config.num_visible + 1, config.num_predicted
    return {
        "patch_embed": 2 * config.num_visible * pixels * dim,
        "encoder": config.depth * _block(visible, dim),
        "mixing": _mixing(config, visible),
        "decoder_embed": _decoder_embed(config, visible),
        "decoder": (config.decoder_depth or 0) * _decoder_block(config, visible, predicted),
        "prediction": 2 * predicted * decoder_dim * pixels,
    }


def training_flops(config: MAEConfig) -> int:
    """FLOPs per image of one training step: the backward pass counts twice the forward one, as is usual for MFU."""
    return 3 * sum(forward_flops(config).values())


def _parameters(module: nn.Module) -> Parameters:
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in module.parameters()]
    return Parameters(sum(n for n, trains in sizes if trains), sum(n for n, trains in sizes if not trains))


def _block(tokens: int, dim: int) -> int:
    return _linear(tokens, dim, 4 * dim) + _attention(tokens, tokens, dim) + _mlp(tokens, dim)


def _decoder_block(config: MAEConfig, visible: int, predicted: int) -> int:
    dim = config.decoder_embed_dim
    if config.decoder == "self":
        return _block(visible + predicted, dim)
    own = _linear(predicted, dim, 4 * dim) + _attention(predicted, predicted, dim)
    cross = _linear(predicted, dim, 2 * dim) + _linear(visible, config.embed_dim, 2 * dim)
    cross += _attention(predicted, visible, dim) + _mlp(predicted, dim)
    return cross + (own if config.decoder == "cross+self" else 0)


def _mixing(config: MAEConfig, tokens: int) -> int:
    maps, dim = config.num_maps, config.embed_dim
    projections = maps * _linear(tokens, dim, dim) if config.map_projection else 0
    return projections + 2 * maps * (config.decoder_depth or 0) * tokens * dim


def _decoder_embed(config: MAEConfig, tokens: int) -> int:
    if config.decoder != "self":
        return 0
    times = (config.decoder_depth or 0) if config.mixed_blocks else 1
    return times * _linear(tokens, config.embed_dim, config.decoder_embed_dim)


def _linear(tokens: int, inputs: int, outputs: int) -> int:
    return 2 * tokens * inputs * outputs


def _attention(queries: int, keys: int, dim: int) -> int:
    return 4 * queries * keys * dim


def _mlp(tokens: int, dim: int) -> int:
    return 2 * _linear(tokens, dim, 4 * dim)
