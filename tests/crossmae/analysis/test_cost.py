"""Parameters and FLOPs as the paper and its released code have them."""

from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from crossmae import MaskedAutoencoder
from crossmae.analysis.cost import cost_of, forward_flops
from crossmae.model.presets import preset_config


# Millions, measured on the released code: all parameters including the fixed positions; the trainable decoder.
@pytest.mark.parametrize(
    ("preset", "cross", "mae", "cross_decoder"),
    [
        ("vit_s16", 32.19, 28.33, 10.5),
        ("vit_b16", 127.29, 111.91, 41.4),
        ("vit_l16", 347.94, 329.54, 44.5),
        ("vit_h14", 678.49, 657.07, 47.6),
    ],
)
def test_parameters(preset: str, cross: float, mae: float, cross_decoder: float) -> None:
    ours, baseline = cost_of(preset_config(preset)), cost_of(preset_config(preset, decoder="self"))
    for info, expected in ((ours, cross), (baseline, mae)):
        parts = (info.encoder, info.decoder)
        assert sum(part.trainable + part.fixed for part in parts) / 1e6 == pytest.approx(expected, abs=0.005)
    assert ours.decoder.trainable / 1e6 == pytest.approx(cross_decoder, abs=0.05)


# GFLOPs at ViT-B without patch embedding, mixing and prediction head.
@pytest.mark.parametrize(
    ("options", "decoder"),
    [({"prediction_ratio": 0.25}, 4.087), ({"prediction_ratio": 0.75}, 10.373), ({"decoder": "self"}, 10.551)],
)
def test_flops_at_vit_b(options: dict[str, Any], decoder: float) -> None:
    flops = forward_flops(preset_config("vit_b16", **options))
    assert flops["encoder"] / 1e9 == pytest.approx(8.586, abs=5e-4)
    assert flops["decoder"] / 1e9 == pytest.approx(decoder, abs=5e-4)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"decoder": "self"},
        {"decoder": "cross+self", "map_projection": True},
        {"decoder": "self", "feature_maps": "all", "use_input": True},
        {"feature_maps": "last", "mask_ratio": 0.65},
    ],
)
def test_flops_are_those_that_run(options: dict[str, Any]) -> None:
    config = preset_config("vit_demo", **options)
    model = MaskedAutoencoder(config, attention="math")
    with FlopCounterMode(display=False) as counted:
        model(torch.zeros(1, 3, 64, 64))
    assert sum(forward_flops(config).values()) == counted.get_total_flops()
