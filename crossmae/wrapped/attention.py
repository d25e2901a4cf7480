"""Which of timm's two attention paths a model takes."""

import torch
from timm.layers import Attention
from torch import nn

SHORT = 128
"""Tokens up to which the plain path is the faster one on CPUs."""


def use_fastest_attention(model: nn.Module, tokens: int) -> None:
    """Takes plain matrix products where they are faster: for short sequences without a GPU."""
    if torch.cuda.is_available() or tokens > SHORT:
        return
    for module in model.modules():
        if isinstance(module, Attention):
            module.fused_attn = False
