"""Initial weights against measurements of the released code."""

from typing import Literal

import pytest
import torch
from torch import nn

from crossmae.model.config import MAEConfig
from crossmae.model.decoder import InterBlockAttention
from crossmae.model.initialization import initialize


# One draw of the released code had standard deviations of .296 (ViT-B, 13 maps), .228 (L, 25) and .213 (H, 33):
# Xavier's sqrt(2 / (k + decoder depth)) up to the noise of one draw. The paper states 1 / sqrt(k).
@pytest.mark.parametrize(("depth", "released", "paper"), [(12, 0.283, 0.277), (24, 0.232, 0.200), (32, 0.211, 0.174)])
def test_inter_block_weights_start_as_released_or_as_stated(depth: int, released: float, paper: float) -> None:
    expectations: dict[Literal["released", "paper"], float] = {"released": released, "paper": paper}
    for kind, expected in expectations.items():
        config = MAEConfig(depth=depth, embed_dim=16, num_heads=2, mixing_init=kind)
        torch.manual_seed(0)
        weights = []
        for _ in range(60):
            module = InterBlockAttention(config)
            initialize(nn.ModuleList([module]), config)
            weights.append(module.weight.detach())
        assert torch.stack(weights).std().item() == pytest.approx(expected, rel=0.02)
