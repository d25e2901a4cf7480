"""PSNR of reconstructions (CrossMAE Table 13)."""

from collections.abc import Iterable

import torch
from torch import Tensor

from crossmae.analysis.reconstruct import Reconstruction, reconstruct
from crossmae.model.autoencoder import MaskedAutoencoder


def masked_psnr(parts: Reconstruction) -> Tensor:
    """Peak signal-to-noise ratio in dB over the masked patches of each image: (N,).

    Pixels in the unit range, so that the peak is 1; the visible patches have no error and do not count. The paper says
    only "PSNR of masked patches": that it is taken per image and then averaged is our reading.
    """
    squares = (parts.pasted - parts.original).square()
    share_masked = parts.ids_masked.shape[1] / parts.num_patches
    error = squares.mean(dim=(1, 2, 3)) / share_masked
    return -10 * error.clamp_min(1e-10).log10()


def psnr_of(model: MaskedAutoencoder, batches: Iterable[tuple[Tensor, Tensor]]) -> Tensor:
    """``masked_psnr`` of every image of ``batches`` (normalised images and noise): (N,)."""
    return torch.cat([masked_psnr(reconstruct(model, images, noise)) for images, noise in batches])
