"""The masked autoencoder: CrossMAE and MAE in one."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from crossmae.errors import UserError
from crossmae.model.attention import Backend, check_backend
from crossmae.model.config import MAEConfig
from crossmae.model.decoder import CrossDecoder, SelfDecoder
from crossmae.model.encoder import Encoder
from crossmae.model.initialization import initialize
from crossmae.model.masking import patch_pixels, random_ids


@dataclass(frozen=True)
class MAEOutput:
    """What a forward pass gives. ``prediction`` and ``target`` rows are in the order of ``ids_predicted``."""

    loss: Tensor
    """Scalar: mean squared error over the predicted patches."""
    prediction: Tensor
    """(N, n_predicted, patch_size**2 * 3), pixels of a patch in (row, column, channel) order."""
    target: Tensor
    """As ``prediction``; normalised per patch with ``norm_pix_loss``."""
    ids_visible: Tensor
    """(N, n_visible)."""
    ids_predicted: Tensor
    """(N, n_predicted)."""


class MaskedAutoencoder(nn.Module):
    """CrossMAE, MAE and what lies between, as ``config`` says. All shapes are static and nothing waits for the host.

    Args:
        attention: backend, one of ``auto``, ``sdpa``, ``flash_attn``, ``math``; changes speed, not results.

    Raises:
        UserError: unknown backend, or ``flash_attn`` without the package.
    """

    def __init__(self, config: MAEConfig, attention: Backend = "auto") -> None:
        super().__init__()
        backend = check_backend(attention)
        self.config = config
        self.encoder = Encoder(config, backend)
        self.decoder = (SelfDecoder if config.decoder == "self" else CrossDecoder)(config, backend)
        initialize(self, config)

    def forward(
        self,
        images: Tensor,
        ids_visible: Tensor | None = None,
        ids_predicted: Tensor | None = None,
        noise: Tensor | None = None,
    ) -> MAEOutput:
        """Encodes the visible patches and decodes the predicted ones.

        Args:
            images: (N, 3, image_size, image_size), normalised.
            ids_visible: (N, n) patch indices in raster order; given together with ``ids_predicted`` or not at all.
            ids_predicted: likewise.
            noise: (N, num_patches) uniform in [0, 1) from which the patches are drawn (see ``random_ids``) when they
                are not given; drawn from the default generator of the images' device if None.

        Raises:
            UserError: images of another size than the configuration's, or only one kind of patch indices.
        """
        self._check_images(images)
        if (ids_visible is None) != (ids_predicted is None):
            raise UserError("give both ids_visible and ids_predicted, or neither")
        if ids_visible is None or ids_predicted is None:
            if noise is None:
                noise = torch.rand(len(images), self.config.num_patches, device=images.device)
            ids_visible, ids_predicted = random_ids(noise, self.config)
        maps = self.encoder(images, ids_visible)
        prediction = self.decoder(maps, ids_visible, ids_predicted)
        target = self.target(images, ids_predicted)
        loss = F.mse_loss(prediction.float(), target)
        return MAEOutput(loss, prediction, target, ids_visible, ids_predicted)

    def _check_images(self, images: Tensor) -> None:
        size = self.config.image_size
        if images.ndim != 4 or images.shape[1:] != (3, size, size):
            raise UserError(f"images must be (N, 3, {size}, {size}) for this model, not {tuple(images.shape)}")

    @torch.no_grad()
    def target(self, images: Tensor, ids: Tensor) -> Tensor:
        """What is to be predicted for the patches ``ids`` (N, n): (N, n, patch_size**2 * 3) float32."""
        pixels = patch_pixels(images, ids, self.config.patch_size).permute(0, 1, 3, 4, 2).flatten(2).float()
        if not self.config.norm_pix_loss:
            return pixels
        # Twice as fast on a CPU as torch.var_mean, which goes through every row once, number by number.
        centred = pixels - pixels.mean(dim=-1, keepdim=True)
        variance = centred.square().sum(dim=-1, keepdim=True) / (pixels.shape[-1] - 1)
        return centred * (variance + 1e-6).rsqrt()
