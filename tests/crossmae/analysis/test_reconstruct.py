"""Pictures and PSNR of reconstructions that are known beforehand."""

from math import log10

import numpy as np
import pytest
import torch

from crossmae import MaskedAutoencoder
from crossmae.analysis.psnr import masked_psnr
from crossmae.analysis.reconstruct import reconstruct, reconstruction_grid
from crossmae.model.presets import preset_config
from crossmae.pretraining.workload import normalize

NOISE = torch.rand(2, 64, generator=torch.Generator().manual_seed(1))


def constant_model(norm_pix_loss: bool, value: float) -> MaskedAutoencoder:
    """Predicts ``value`` for every pixel, normalised as the target is."""
    model = MaskedAutoencoder(preset_config("vit_demo", norm_pix_loss=norm_pix_loss)).eval()
    with torch.no_grad():
        model.decoder.pred.weight.zero_()
        model.decoder.pred.bias.fill_(value)
    return model


def test_visible_patches_stay_and_masked_ones_are_replaced() -> None:
    images = normalize(torch.randint(50, 200, (2, 3, 64, 64), generator=torch.Generator().manual_seed(0)))
    parts = reconstruct(constant_model(norm_pix_loss=False, value=0.0), images, NOISE)
    masked = torch.zeros(2, 64, dtype=torch.bool).scatter(1, parts.ids_masked, True)
    pixels = masked.reshape(2, 1, 8, 1, 8, 1).expand(2, 3, 8, 8, 8, 8).reshape(2, 3, 64, 64)
    assert masked.sum() == 2 * 48
    assert torch.equal(parts.pasted[~pixels], parts.original[~pixels])
    assert torch.equal(parts.masked[~pixels], parts.original[~pixels])
    assert (parts.masked[pixels] == 0.5).all()
    # A normalised zero is ImageNet's mean.
    mean = torch.tensor([0.485, 0.456, 0.406])[None, :, None, None].expand_as(images)
    torch.testing.assert_close(parts.pasted[pixels], mean[pixels])


def test_the_normalisation_of_patches_is_undone() -> None:
    """With norm-pix, predicting zero means each patch's own mean."""
    images = normalize(torch.full((2, 3, 64, 64), 51.0))
    parts = reconstruct(constant_model(norm_pix_loss=True, value=0.0), images, NOISE)
    normalised_mean = images.mean(dim=1, keepdim=True)
    patch = int(parts.ids_masked[0, 0])
    row, column = patch // 8 * 8, patch % 8 * 8
    expected = normalised_mean[0, 0, 0, 0] * torch.tensor([0.229, 0.224, 0.225]) + torch.tensor([0.485, 0.456, 0.406])
    torch.testing.assert_close(parts.pasted[0, :, row, column], expected)


def test_psnr_of_a_known_error() -> None:
    # Every masked pixel is 0.2 from the truth, so that its square is 0.04.
    images = normalize(torch.zeros(2, 3, 64, 64))
    model = constant_model(norm_pix_loss=False, value=0.0)
    with torch.no_grad():
        target = normalize(torch.full((1, 3, 8, 8), 0.2 * 255)).permute(0, 2, 3, 1).flatten()
        model.decoder.pred.bias.copy_(target)
    values = masked_psnr(reconstruct(model, images, NOISE))
    assert values.shape == (2,)
    assert values.tolist() == pytest.approx([-10 * log10(0.04)] * 2, rel=1e-4)


def test_the_grid_shows_image_mask_and_reconstruction_side_by_side() -> None:
    images = normalize(torch.full((2, 3, 64, 64), 200.0))
    picture = np.asarray(reconstruction_grid(constant_model(norm_pix_loss=False, value=0.0), images))
    assert picture.shape == (64 * 2 + 2, 64 * 3 + 2 * 2, 3)
    assert (picture[:64, :64] == 200).all()
    assert set(np.unique(picture[:64, 66:130])) == {128, 200}
