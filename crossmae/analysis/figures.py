"""Figures of the analyses."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from crossmae.analysis.attention import BlockAttention
from crossmae.errors import UserError
from crossmae.model.autoencoder import MaskedAutoencoder

_WIDTH = 0.4


def attention_figure(blocks: Sequence[BlockAttention], path: Path) -> None:
    """Bars of Table 6: per decoder block, attention of masked tokens to visible and to masked tokens."""
    figure = Figure(figsize=(1.5 + 0.6 * len(blocks), 3), layout="constrained")
    axes = figure.subplots()
    places = np.arange(len(blocks))
    axes.bar(places - _WIDTH / 2, [block.to_visible for block in blocks], _WIDTH, label="visible tokens")
    axes.bar(places + _WIDTH / 2, [block.to_masked for block in blocks], _WIDTH, label="masked tokens")
    axes.set_xticks(places, [str(place + 1) for place in places])
    axes.set_xlabel("decoder block")
    axes.set_ylabel("attention of masked tokens\n(per token, summed over heads)")
    axes.legend()
    figure.savefig(path)


def mixing_figure(model: MaskedAutoencoder, path: Path) -> None:
    """Heat map of the learned inter-block weights: a row per decoder block, a column per encoder map.

    Raises:
        UserError: the model has no inter-block attention.
    """
    weights = mixing_weights(model)
    names = [*(["input"] if model.config.use_input else []), *(str(i + 1) for i in model.config.mixed_blocks)]
    figure = Figure(figsize=(1.5 + 0.4 * weights.shape[1], 1.2 + 0.4 * weights.shape[0]), layout="constrained")
    axes = figure.subplots()
    most = weights.abs().max().item()
    image = axes.imshow(weights.numpy(), cmap="RdBu_r", vmin=-most, vmax=most, aspect="auto")
    axes.set_xticks(range(len(names)), names)
    axes.set_yticks(range(len(weights)), [str(row + 1) for row in range(len(weights))])
    axes.set_xlabel("encoder block")
    axes.set_ylabel("decoder block")
    figure.colorbar(image, label="weight")
    figure.savefig(path)


def mixing_weights(model: MaskedAutoencoder) -> Tensor:
    """(decoder_depth, k) inter-block weights as applied, on the CPU.

    Raises:
        UserError: the model has no inter-block attention.
    """
    if model.decoder.mixing is None:
        raise UserError("this model has no inter-block attention, so there are no weights to draw")
    return model.decoder.mixing.mixing_weights().detach().float().cpu()
