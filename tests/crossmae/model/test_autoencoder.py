"""What the autoencoder looks at, and what it leaves out."""

from typing import Any

import pytest
import torch
from torch import Tensor

from crossmae import MaskedAutoencoder, UserError
from crossmae.model.masking import random_ids
from crossmae.model.presets import preset_config

IMAGES = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
NOISE = torch.rand(2, 64, generator=torch.Generator().manual_seed(1))


def build(**options: Any) -> MaskedAutoencoder:
    torch.manual_seed(0)
    return MaskedAutoencoder(preset_config("vit_demo", **options)).eval()


def with_other_pixels(images: Tensor, patches: Tensor) -> Tensor:
    """``images`` with the patches (N, n) overwritten."""
    changed = images.clone()
    for image, row in enumerate(patches.tolist()):
        for patch in row:
            top, left = patch // 8 * 8, patch % 8 * 8
            changed[image, :, top : top + 8, left : left + 8] = 9.0
    return changed


@pytest.mark.parametrize("decoder", ["cross", "self", "cross+self"])
def test_pixels_of_masked_patches_reach_the_target_only(decoder: str) -> None:
    model = build(decoder=decoder, prediction_ratio=0.25)
    visible, predicted = random_ids(NOISE, model.config)
    masked = torch.stack([torch.tensor(sorted(set(range(64)) - set(row.tolist()))) for row in visible])
    before = model(IMAGES, visible, predicted)
    after = model(with_other_pixels(IMAGES, masked), visible, predicted)
    assert torch.equal(before.prediction, after.prediction)
    assert not torch.equal(before.target, after.target)


def test_cross_attention_decodes_each_patch_whatever_the_others_are() -> None:
    model = build()
    visible, predicted = random_ids(NOISE, model.config)
    all_of_them = model(IMAGES, visible, predicted).prediction
    some = model(IMAGES, visible, predicted[:, 3:5]).prediction
    torch.testing.assert_close(some, all_of_them[:, 3:5])


def test_self_attention_among_masked_patches_makes_them_depend_on_each_other() -> None:
    for decoder in ("self", "cross+self"):
        model = build(decoder=decoder, prediction_ratio=0.25)
        visible, predicted = random_ids(NOISE, model.config)
        all_of_them = model(IMAGES, visible, predicted).prediction
        some = model(IMAGES, visible, predicted[:, 3:5]).prediction
        assert (some - all_of_them[:, 3:5]).abs().max() > 1e-3


def test_predictions_follow_the_order_of_the_given_patches() -> None:
    model = build()
    visible, predicted = random_ids(NOISE, model.config)
    forward, backward = (model(IMAGES, visible, ids) for ids in (predicted, predicted.flip(1)))
    torch.testing.assert_close(forward.prediction, backward.prediction.flip(1))
    torch.testing.assert_close(forward.target, backward.target.flip(1))


def test_equal_noise_gives_equal_masks_and_loss() -> None:
    model = build()
    first, again = model(IMAGES, noise=NOISE), model(IMAGES, noise=NOISE)
    assert torch.equal(first.ids_visible, again.ids_visible)
    assert first.loss == again.loss
    assert not torch.equal(model(IMAGES).ids_visible, model(IMAGES).ids_visible)


def test_normalised_targets_have_zero_mean_and_unit_variance() -> None:
    target = build(norm_pix_loss=True)(IMAGES, noise=NOISE).target
    torch.testing.assert_close(target.mean(-1), torch.zeros(2, 16), atol=1e-5, rtol=0)
    torch.testing.assert_close(target.var(-1), torch.ones(2, 16), atol=1e-4, rtol=0)


def test_plain_targets_are_pixels_in_row_column_channel_order() -> None:
    output = build(norm_pix_loss=False)(IMAGES, noise=NOISE)
    patch = int(output.ids_predicted[1, 0])
    top, left = patch // 8 * 8, patch % 8 * 8
    expected = IMAGES[1, :, top : top + 8, left : left + 8].permute(1, 2, 0).flatten()
    assert torch.equal(output.target[1, 0], expected)


@pytest.mark.slow
def test_the_whole_step_is_one_graph() -> None:
    for decoder in ("cross", "self"):
        model = build(decoder=decoder)
        compiled = torch.compile(model, fullgraph=True, backend="eager")
        torch.testing.assert_close(compiled(IMAGES, noise=NOISE).loss, model(IMAGES, noise=NOISE).loss)


def test_half_precision_stays_close() -> None:
    model = build()
    exact = model(IMAGES, noise=NOISE).loss
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = model(IMAGES, noise=NOISE).loss
    assert rough.dtype == torch.float32
    torch.testing.assert_close(rough, exact, rtol=0.02, atol=0)


def test_other_image_sizes_and_half_given_masks_are_refused() -> None:
    model = build()
    with pytest.raises(UserError, match="64"):
        model(torch.zeros(1, 3, 96, 96))
    with pytest.raises(UserError, match="ids_predicted"):
        model(IMAGES, ids_visible=torch.zeros(2, 16, dtype=torch.long))
