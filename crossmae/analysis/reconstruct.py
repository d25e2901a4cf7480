"""Reconstructions as pictures and as numbers."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from crossmae.analysis.views import all_masked, to_unit_range
from crossmae.model.autoencoder import MaskedAutoencoder
from crossmae.model.masking import patch_pixels

_GREY = 0.5
_GAP = 2


@dataclass(frozen=True)
class Reconstruction:
    """Images (N, 3, H, W) in the unit range, 0 black and 1 white."""

    original: Tensor
    masked: Tensor
    """Masked patches in grey."""
    pasted: Tensor
    """Predicted patches next to the visible ones as they are; clipped to the unit range."""
    ids_masked: Tensor
    """(N, n) patches that were predicted."""
    num_patches: int
    """Patches of an image, visible and masked."""


@torch.no_grad()
def reconstruct(model: MaskedAutoencoder, images: Tensor, noise: Tensor) -> Reconstruction:
    """Predicts every masked patch, whatever the model's prediction ratio.

    A target normalised by patch (``norm_pix_loss``) has lost the patch's mean and variance: the prediction is given
    those of the true patch, as in MAE's own pictures.

    Args:
        images: (N, 3, H, W), normalised.
        noise: (N, num_patches) that the masks are drawn from.
    """
    ids_visible, ids_masked = all_masked(noise, model.config)
    output = model(images, ids_visible, ids_masked)
    predicted = _unnormalized(output.prediction.float(), images, ids_masked, model)
    original = to_unit_range(images)
    pasted = to_unit_range(_paste(images, predicted, ids_masked, model.config.patch_size)).clamp(0, 1)
    masked = _paste(original, torch.full_like(predicted, _GREY), ids_masked, model.config.patch_size)
    return Reconstruction(original, masked, pasted, ids_masked, model.config.num_patches)


def reconstruction_grid(model: MaskedAutoencoder, images: Tensor, noise: Tensor | None = None) -> Image.Image:
    """One row per image: the image, what the encoder saw, and the reconstruction.

    Args:
        images: (N, 3, H, W), normalised.
        noise: (N, num_patches) that the masks are drawn from; a fixed one if not given.
    """
    if noise is None:
        noise = torch.rand(len(images), model.config.num_patches, generator=torch.Generator().manual_seed(0))
    parts = reconstruct(model, images, noise.to(images.device))
    columns = [_bytes(part) for part in (parts.original, parts.masked, parts.pasted)]
    return _grid(columns, model.config.image_size)


def _unnormalized(prediction: Tensor, images: Tensor, ids: Tensor, model: MaskedAutoencoder) -> Tensor:
    if not model.config.norm_pix_loss:
        return prediction
    true = patch_pixels(images, ids, model.config.patch_size).flatten(2)
    variance, mean = torch.var_mean(true, dim=-1, keepdim=True)
    return prediction * (variance + 1e-6).sqrt() + mean


def _paste(images: Tensor, patches: Tensor, ids: Tensor, patch_size: int) -> Tensor:
    """``images`` with ``patches`` (N, n, patch_size**2 * 3) in the places ``ids`` (N, n)."""
    count, channels, height, width = images.shape
    rows, columns = height // patch_size, width // patch_size
    tokens = images.reshape(count, channels, rows, patch_size, columns, patch_size).permute(0, 2, 4, 3, 5, 1)
    tokens = tokens.reshape(count, rows * columns, -1)
    tokens = tokens.scatter(1, ids[..., None].expand_as(patches), patches)
    tiles = tokens.reshape(count, rows, columns, patch_size, patch_size, channels)
    return tiles.permute(0, 5, 1, 3, 2, 4).reshape(images.shape)


def _bytes(images: Tensor) -> NDArray[np.uint8]:
    return np.asarray((images.clamp(0, 1) * 255).round().permute(0, 2, 3, 1).byte().cpu())


def _grid(columns: list[NDArray[np.uint8]], size: int) -> Image.Image:
    step = size + _GAP
    picture = Image.new("RGB", (step * len(columns) - _GAP, step * len(columns[0]) - _GAP), "white")
    for x, column in enumerate(columns):
        for y, image in enumerate(column):
            picture.paste(Image.fromarray(image), (x * step, y * step))
    return picture
