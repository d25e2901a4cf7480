"""Masks and the pixels behind them."""

import torch
from torch import Tensor

from crossmae import MAEConfig
from crossmae.model.masking import patch_pixels, random_ids

CONFIG = MAEConfig(image_size=64, patch_size=8, mask_ratio=0.75, prediction_ratio=0.25)


def noise(count: int, patches: int = 64) -> Tensor:
    return torch.rand(count, patches, generator=torch.Generator().manual_seed(0))


def test_visible_and_predicted_patches_are_disjoint_and_counted() -> None:
    visible, predicted = random_ids(noise(5), CONFIG)
    assert visible.shape == (5, 16)
    assert predicted.shape == (5, 16)
    for row in torch.cat([visible, predicted], dim=1):
        assert len(row.unique()) == 32


def test_the_lowest_noise_is_visible_and_the_highest_is_predicted() -> None:
    ascending = torch.arange(64.0)[None] / 64
    visible, predicted = random_ids(ascending, CONFIG)
    assert visible[0].tolist() == list(range(16))
    assert predicted[0].tolist() == list(range(48, 64))


def test_a_mask_depends_on_its_own_row_of_noise_only() -> None:
    rows = noise(4)
    together = random_ids(rows, CONFIG)
    alone = random_ids(rows[2:3], CONFIG)
    for batch, single in zip(together, alone, strict=True):
        assert torch.equal(batch[2:3], single)


def test_grid_masking_keeps_the_same_patch_of_every_cell_and_draws_what_is_predicted() -> None:
    config = MAEConfig(image_size=64, patch_size=8, masking="grid")
    visible, predicted = random_ids(noise(3), config)
    kept = {row * 8 + column for row in range(0, 8, 2) for column in range(0, 8, 2)}
    assert all(set(row.tolist()) == kept for row in visible)
    assert not torch.equal(predicted[0], predicted[1])
    assert not kept & set(predicted.flatten().tolist())


def test_pixels_are_those_of_the_chosen_patches() -> None:
    images = torch.randn(3, 3, 24, 40)
    ids = torch.tensor([[0, 7], [14, 3], [5, 5]])
    pixels = patch_pixels(images, ids, 8)
    for image, row in enumerate(ids.tolist()):
        for place, patch in enumerate(row):
            top, left = patch // 5 * 8, patch % 5 * 8
            assert torch.equal(pixels[image, place], images[image, :, top : top + 8, left : left + 8])
