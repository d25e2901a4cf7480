"""The encoder: a vision transformer that sees the given patches only. Parameter names are timm's."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from crossmae.model.attention import Backend
from crossmae.model.blocks import Block, layer_norm
from crossmae.model.config import MAEConfig
from crossmae.model.masking import gather_tokens, patch_pixels
from crossmae.model.positions import sincos_positions


class PatchEmbed(nn.Module):
    """Linear embedding of patches. The weight has a convolution's shape, as everywhere else in the field."""

    def __init__(self, patch_size: int, dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, dim, kernel_size=patch_size, stride=patch_size)

    def forward(self, pixels: Tensor) -> Tensor:
        """(N, n, 3, p, p) to (N, n, C)."""
        return F.linear(pixels.flatten(2), self.proj.weight.flatten(1), self.proj.bias)


class Encoder(nn.Module):
    """Class token, patch embedding, fixed positions and blocks; a final norm only without inter-block attention."""

    def __init__(self, config: MAEConfig, backend: Backend = "auto") -> None:
        super().__init__()
        self.config = config
        self.cls_token = nn.Parameter(torch.zeros(1, 1, config.embed_dim))
        self.pos_embed = nn.Parameter(sincos_positions(config.embed_dim, config.grid), requires_grad=False)
        self.patch_embed = PatchEmbed(config.patch_size, config.embed_dim)
        self.blocks = nn.ModuleList(Block(config.embed_dim, config.num_heads, backend) for _ in range(config.depth))
        self.norm = None if config.mixed_blocks else layer_norm(config.embed_dim)

    def embed(self, images: Tensor, ids: Tensor) -> Tensor:
        """Tokens before the first block: (N, 3, H, W) and patch indices (N, n) to (N, 1 + n, C), class token first."""
        pixels = patch_pixels(images, ids, self.config.patch_size)
        patches = self.patch_embed(pixels) + gather_tokens(self.pos_embed[:, 1:], ids)
        first = (self.cls_token + self.pos_embed[:, :1]).expand(len(images), -1, -1)
        return torch.cat([first.to(patches.dtype), patches], dim=1)

    def forward(self, images: Tensor, ids: Tensor) -> list[Tensor]:
        """What the decoder attends to, each (N, 1 + n, C).

        With inter-block attention: the input map if it is used, then the outputs of the mixed blocks, ascending.
        Without: the normalised output of the last block alone.
        """
        tokens = self.embed(images, ids)
        maps = [tokens] if self.config.use_input else []
        mixed = self.config.mixed_blocks
        for index, block in enumerate(self.blocks):
            tokens = block(tokens)
            if index in mixed:
                maps.append(tokens)
        return maps if self.norm is None else [self.norm(tokens)]
