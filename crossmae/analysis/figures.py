"""Figures of the analyses."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from crossmae.analysis.attention import BlockAttention, patch_attention
from crossmae.analysis.reconstruct import reconstruct
from crossmae.analysis.views import all_masked
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
    figure.legend(loc="outside upper center", ncols=2, frameon=False, fontsize=8)
    figure.savefig(path)


def attention_map_figure(model: MaskedAutoencoder, images: Tensor, noise: Tensor, path: Path) -> None:
    """A row per image: the image, what the encoder saw with one masked patch framed, and where that patch looks.

    Args:
        images: (N, 3, H, W), normalised.
        noise: (N, num_patches) that the masks are drawn from.
    """
    patches = _central_masked(noise, model)
    weights = patch_attention(model, images, noise, patches).cpu()
    parts = reconstruct(model, images, noise)
    figure = Figure(figsize=(4.2, 1.4 * len(images) + 0.2), layout="constrained")
    axes = figure.subplots(len(images), 3, squeeze=False)
    for row, patch, weight, original, masked in zip(axes, patches, weights, parts.original, parts.masked, strict=True):
        for panel, image in zip(row[:2], (original, masked), strict=True):
            panel.imshow(image.clamp(0, 1).permute(1, 2, 0).cpu().numpy())
        row[1].add_patch(_frame(int(patch), model.config.grid, model.config.patch_size))
        row[2].imshow(weight.reshape(model.config.grid, -1).numpy(), cmap="magma", vmin=0)
        row[2].add_patch(_frame(int(patch), model.config.grid, 1))
    for panel, title in zip(axes[0], ("image", "encoder's input", "attention"), strict=True):
        panel.set_title(title, fontsize=9)
    for panel in axes.flat:
        panel.set_axis_off()
    figure.savefig(path)


def _central_masked(noise: Tensor, model: MaskedAutoencoder) -> Tensor:
    """(N,) the masked patch nearest to the centre of each image."""
    _, ids_masked = all_masked(noise, model.config)
    middle = (model.config.grid - 1) / 2
    away = (ids_masked // model.config.grid - middle) ** 2 + (ids_masked % model.config.grid - middle) ** 2
    return ids_masked.gather(1, away.argmin(dim=1, keepdim=True))[:, 0]


def _frame(patch: int, grid: int, size: int) -> Rectangle:
    corner = patch % grid * size - 0.5, patch // grid * size - 0.5
    return Rectangle(corner, size, size, fill=False, edgecolor="#e6194b", linewidth=1.5)


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
