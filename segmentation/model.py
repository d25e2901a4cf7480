"""mmsegmentation's MAE backbone for ViTs with any number of tokens before the patches.

Its own class has exactly one, the class token. DINOv2's ViTs have four registers more, other ViTs none at all.
"""

from typing import Any

import torch
import torch.nn.functional as F
from mmengine.registry import MODELS
from mmseg.models.backbones.mae import MAE, MAEAttention
from timm.layers import get_act_layer
from torch import Tensor, nn

MODELS.register_module("QuickGELU", module=get_act_layer("quick_gelu"))


class PrefixAttention(MAEAttention):
    """Attention with relative position biases, which all prefix tokens share in place of the class token."""

    def __init__(self, num_prefix: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        index: Tensor = self._buffers["relative_position_index"]
        tokens = torch.cat([torch.zeros(num_prefix, dtype=torch.long), torch.arange(1, len(index))])
        self.relative_position_index = index[tokens][:, tokens]

    def forward(self, x: Tensor) -> Tensor:
        """Attends within (N, tokens, dim)."""
        q, k, v = self.qkv(x).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        # index_select has the faster backward pass: indexing sorts the million positions of every block.
        tokens = self.relative_position_index.shape[0]
        bias = self.relative_position_bias_table.index_select(0, self.relative_position_index.flatten())
        bias = bias.view(tokens, tokens, -1).permute(2, 0, 1)
        x = F.scaled_dot_product_attention(q, k, v, attn_mask=bias.to(q.dtype))
        return self.proj(x.transpose(1, 2).flatten(2))


@MODELS.register_module()
class PrefixMAE(MAE):
    """``MAE`` with ``num_prefix`` tokens in ``cls_token`` (1, num_prefix, dim): class token first, then registers."""

    def __init__(self, num_prefix: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_prefix = num_prefix
        tokens = torch.zeros(1, num_prefix, self.embed_dims)
        self.cls_token = nn.Parameter(tokens, requires_grad=num_prefix > 0)
        self.pos_embed = nn.Parameter(torch.zeros(1, self.num_patches + num_prefix, self.embed_dims))
        for layer in self.layers:
            layer.attn = PrefixAttention(
                num_prefix,
                embed_dims=self.embed_dims,
                num_heads=self.num_heads,
                window_size=self.patch_shape,
                bias=True,
            )

    def forward(self, inputs: Tensor) -> tuple[Tensor, ...]:
        """Patch features (N, dim, rows, columns) after each of the blocks ``out_indices``."""
        x, grid = self.patch_embed(inputs)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], dim=1) + self.pos_embed
        features = []
        for index, layer in enumerate(self.layers):
            x = layer(x)
            if index in self.out_indices:
                features.append(x[:, self.num_prefix :].transpose(1, 2).unflatten(2, grid).contiguous())
        return tuple(features)
