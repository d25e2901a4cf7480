"""The decoders: CrossMAE's, which reads the visible tokens by cross-attention, MAE's, and inter-block attention."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from crossmae.model.attention import Backend
from crossmae.model.blocks import Block, CrossBlock, CrossSelfBlock, layer_norm
from crossmae.model.config import MAEConfig
from crossmae.model.masking import gather_tokens
from crossmae.model.positions import sincos_positions


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
        device = maps[0].device.type
        if torch.is_autocast_enabled(device):
            # The product would cast the stack: cast before, the maps are copied once, in half of the bytes.
            maps = [tokens.to(torch.get_autocast_dtype(device)) for tokens in maps]
        # One matrix product over maps stacked in the first dimension: stacked in the last one, as k is small,
        # every read and write would be strided.
        stacked = torch.stack(list(maps))
        mixed = (self.mixing_weights() @ stacked.flatten(1)).unflatten(1, stacked.shape[1:])
        return [norm(tokens) for norm, tokens in zip(self.norms, mixed.unbind(0), strict=True)]


class Decoder(nn.Module):
    """What both decoders share: mask tokens at their positions in, pixels out."""

    blocks: nn.ModuleList

    def __init__(self, config: MAEConfig) -> None:
        super().__init__()
        dim = config.decoder_embed_dim
        self.mask_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.pos_embed = nn.Parameter(sincos_positions(dim, config.grid), requires_grad=False)
        self.mixing = InterBlockAttention(config) if config.mixed_blocks else None
        self.norm = layer_norm(dim)
        self.pred = nn.Linear(dim, 3 * config.patch_size**2)

    def contexts(self, maps: Sequence[Tensor]) -> Sequence[Tensor]:
        """The encoder map (N, 1 + n, C) that each decoder block reads."""
        return list(maps) * len(self.blocks) if self.mixing is None else self.mixing(maps)

    def mask_tokens(self, ids: Tensor) -> Tensor:
        """Mask tokens with the positions of the patches ``ids`` (N, n): (N, n, C)."""
        return self.mask_token + gather_tokens(self.pos_embed[:, 1:], ids)

    def pixels(self, tokens: Tensor) -> Tensor:
        """(N, n, C) to (N, n, patch_size**2 * 3)."""
        predicted: Tensor = self.pred(self.norm(tokens))
        return predicted


class CrossDecoder(Decoder):
    """Masked tokens read the visible ones by cross-attention; each is decoded independently of the others unless
    blocks have self-attention too (CrossMAE sections 3.2 and 3.3)."""

    def __init__(self, config: MAEConfig, backend: Backend = "auto") -> None:
        super().__init__(config)
        kind = CrossSelfBlock if config.decoder == "cross+self" else CrossBlock
        self.blocks = nn.ModuleList(
            kind(config.decoder_embed_dim, config.embed_dim, config.decoder_num_heads, backend)
            for _ in range(config.decoder_depth or 0)
        )

    def forward(self, maps: Sequence[Tensor], ids_visible: Tensor, ids_predicted: Tensor) -> Tensor:
        """Encoder maps (N, 1 + n_visible, C) and patch indices to (N, n_predicted, patch_size**2 * 3)."""
        tokens = self.mask_tokens(ids_predicted)
        for block, context in zip(self.blocks, self.contexts(maps), strict=True):
            tokens = block(tokens, context)
        return self.pixels(tokens)


class SelfDecoder(Decoder):
    """MAE's decoder: visible and masked tokens in one sequence.

    The order of the sequence does not matter to self-attention, so the visible tokens stay in front; nothing is
    shuffled back. With inter-block attention (Table 7) each block's own mixture is added to the visible tokens that
    come from the block before it; the paper does not say how the two are joined.
    """

    def __init__(self, config: MAEConfig, backend: Backend = "auto") -> None:
        super().__init__(config)
        self.embed = nn.Linear(config.embed_dim, config.decoder_embed_dim)
        self.blocks = nn.ModuleList(
            Block(config.decoder_embed_dim, config.decoder_num_heads, backend) for _ in range(config.decoder_depth or 0)
        )

    def forward(self, maps: Sequence[Tensor], ids_visible: Tensor, ids_predicted: Tensor) -> Tensor:
        """Encoder maps (N, 1 + n_visible, C) and patch indices to (N, n_predicted, patch_size**2 * 3)."""
        num_visible = 1 + ids_visible.shape[1]
        contexts = self.contexts(maps)
        tokens = torch.cat([self._visible(contexts[0], ids_visible), self.mask_tokens(ids_predicted)], dim=1)
        for index, block in enumerate(self.blocks):
            if index and self.mixing is not None:
                visible = tokens[:, :num_visible] + self.embed(contexts[index])
                tokens = torch.cat([visible, tokens[:, num_visible:]], dim=1)
            tokens = block(tokens)
        return self.pixels(tokens[:, num_visible:])

    def _visible(self, context: Tensor, ids: Tensor) -> Tensor:
        patches = gather_tokens(self.pos_embed[:, 1:], ids)
        first = self.pos_embed[:, :1].expand(len(ids), -1, -1)
        tokens: Tensor = self.embed(context) + torch.cat([first, patches], dim=1)
        return tokens
