"""A whole step is one graph: nothing in it waits for the host or depends on the data."""

from typing import Any

import pytest
import torch
from torch._dynamo import explain

from crossmae import MaskedAutoencoder
from crossmae.model.presets import preset_config


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"decoder": "self"},
        {"decoder": "cross+self", "map_projection": True, "masking": "grid", "mixing": "softmax"},
        {"decoder": "self", "feature_maps": "all", "norm_pix_loss": False},
    ],
)
def test_no_graph_break(options: dict[str, Any]) -> None:
    config = preset_config("vit_demo", depth=2, **options)
    model = MaskedAutoencoder(config)
    images, noise = torch.randn(2, 3, 64, 64), torch.rand(2, 64)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = explain(model)(images, noise=noise)
    assert found.graph_break_count == 0, found.break_reasons
    assert found.graph_count == 1
