"""Inter-block attention: every decoder block reads its own learned mixture of encoder feature maps."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from crossmae.model.blocks import layer_norm
from crossmae.model.config import MAEConfig


class InterBlockAttention(nn.Module):
    """Mixes k encoder maps into one normalised map per decoder block (CrossMAE section 3.4, Tables 8 and 9)."""

    def __init__(self, config: MAEConfig) -> None:
        super().__init__()
        assert config.decoder_depth is not None
        maps, dim = config.num_maps, config.embed_dim
        self.softmax = config.mixing == "softmax"
        self.weight = nn.Parameter(torch.empty(config.decoder_depth, maps))
        self.projections = nn.ModuleList(nn.Linear(dim, dim) for _ in range(maps if config.map_projection else 0))
        self.norms = nn.ModuleList(layer_norm(dim) for _ in range(config.decoder_depth))

    def mixing_weights(self) -> Tensor:
        """(decoder_depth, k) weights as applied to the maps."""
        return self.weight.softmax(dim=1) if self.softmax else self.weight

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """k maps (N, L, C) to one map (N, L, C) per decoder block."""
        if self.projections:
            maps = [project(tokens) for project, tokens in zip(self.projections, maps, strict=True)]
        # One matrix product over maps stacked in the first dimension: stacked in the last one, as k is small,
        # every read and write would be strided.
        stacked = torch.stack(list(maps))
        mixed = (self.mixing_weights() @ stacked.flatten(1)).unflatten(1, stacked.shape[1:])
        return [norm(tokens) for norm, tokens in zip(self.norms, mixed.unbind(0), strict=True)]
