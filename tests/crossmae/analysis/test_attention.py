"""Attention of masked tokens against decoders whose attention is known beforehand."""

from math import log
from typing import Any

import pytest
import torch
from torch import Tensor

from crossmae import MaskedAutoencoder
from crossmae.analysis.attention import mask_token_attention, patch_attention, total
from crossmae.analysis.views import all_masked
from crossmae.model.attention import SelfAttention
from crossmae.model.presets import preset_config

IMAGES = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
NOISE = torch.rand(3, 64, generator=torch.Generator().manual_seed(1))
BATCHES: list[tuple[Tensor, Tensor]] = [(IMAGES[:2], NOISE[:2]), (IMAGES[2:], NOISE[2:])]
VISIBLE, MASKED, HEADS = 1 + 16, 48, 3


def build(**options: Any) -> MaskedAutoencoder:
    torch.manual_seed(0)
    return MaskedAutoencoder(preset_config("vit_demo", **options)).eval()


def prefer_visible(model: MaskedAutoencoder, ratio: float) -> None:
    """Makes masked tokens weigh each visible token ``ratio`` times as much as each masked one, in the first block.

    Visible tokens carry (+1, -1), masked ones (-1, +1) in their first two channels and nothing else; the norm keeps
    the signs, and one channel of query and key reads them. Visible tokens have the opposite preference.
    """
    decoder: Any = model.decoder
    block = decoder.blocks[0]
    sign = torch.zeros(96)
    sign[:2] = torch.tensor([1.0, -1.0])
    with torch.no_grad():
        decoder.pos_embed.zero_()
        decoder.embed.weight.zero_()
        decoder.embed.bias.copy_(sign)
        decoder.mask_token.copy_(-sign)
        attention: SelfAttention = block.attn
        attention.qkv.weight.zero_()
        attention.qkv.bias.zero_()
        read = block.norm1(sign)[0].item()
        width = 96 // HEADS
        for head in range(HEADS):
            attention.qkv.weight[96 + head * width, 0] = 1.0
            # A masked token's query is -read times this; its scores differ by 2 * read * query / sqrt(width).
            attention.qkv.weight[head * width, 0] = -log(ratio) * width**0.5 / (2 * read**2)


def test_a_decoder_that_prefers_visible_tokens_is_found_out() -> None:
    model = build(decoder="self")
    prefer_visible(model, ratio=3.0)
    first = mask_token_attention(model, BATCHES)[0]
    share = 1 / (3 * VISIBLE + MASKED)
    assert first.to_visible == pytest.approx(HEADS * 3 * share, rel=1e-5)
    assert first.to_masked == pytest.approx(HEADS * share, rel=1e-5)


def test_all_attention_of_a_masked_token_is_accounted_for() -> None:
    blocks = mask_token_attention(build(decoder="self"), BATCHES)
    assert len(blocks) == 2
    for block in blocks:
        assert VISIBLE * block.to_visible + MASKED * block.to_masked == pytest.approx(HEADS, rel=1e-5)
    assert total(blocks).to_visible == pytest.approx(blocks[0].to_visible + blocks[1].to_visible)


def test_cross_attention_goes_to_visible_tokens_only() -> None:
    for block in mask_token_attention(build(), BATCHES):
        assert block.to_visible == pytest.approx(HEADS / VISIBLE, rel=1e-5)
        assert block.to_masked == 0
    for block in mask_token_attention(build(decoder="cross+self"), BATCHES):
        assert block.to_masked == pytest.approx(HEADS / MASKED, rel=1e-5)


@pytest.mark.parametrize("decoder", ["self", "cross+self"])
def test_the_maps_of_all_patches_are_the_means_of_the_table(decoder: str) -> None:
    model = build(decoder=decoder)
    _, masked = all_masked(NOISE, model.config)
    maps = [patch_attention(model, IMAGES, NOISE, masked[:, place]).gather(1, masked) for place in range(MASKED)]
    blocks = mask_token_attention(model, BATCHES)
    expected = sum(block.to_masked for block in blocks) / len(blocks) / HEADS
    assert torch.stack(maps).mean().item() == pytest.approx(expected, rel=1e-5)


def test_the_map_of_cross_attention_is_empty_where_nothing_is_visible() -> None:
    model = build()
    visible, masked = all_masked(NOISE, model.config)
    weights = patch_attention(model, IMAGES, NOISE, masked[:, 5])
    assert weights.gather(1, masked).max() == 0
    # The rest is the class token's.
    assert (weights.gather(1, visible).sum(dim=1) > 0.8).all()
    assert (weights.sum(dim=1) < 1).all()


def test_a_patch_that_looks_at_visible_tokens_is_drawn_so() -> None:
    model = build(decoder="self", decoder_depth=1)
    prefer_visible(model, ratio=3.0)
    visible, masked = all_masked(NOISE, model.config)
    weights = patch_attention(model, IMAGES, NOISE, masked[:, 0])
    assert (weights.gather(1, visible).mean() / weights.gather(1, masked).mean()).item() == pytest.approx(3.0, rel=1e-4)


def test_batches_do_not_matter_and_no_hook_stays_behind() -> None:
    model = build(decoder="self")
    together = mask_token_attention(model, [(IMAGES, NOISE)])
    apart = mask_token_attention(model, BATCHES)
    assert together[1].to_visible == pytest.approx(apart[1].to_visible, rel=1e-5)
    assert not any(module._forward_pre_hooks for module in model.modules())
