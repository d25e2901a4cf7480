"""Attention of a ViTDet block through PyTorch's fused kernels, equal to detectron2's within rounding."""

import torch
import torch.nn.functional as F
from detectron2.modeling.backbone.utils import get_rel_pos
from detectron2.modeling.backbone.vit import Attention
from torch import Tensor


class FusedAttention(Attention):
    """detectron2's ``Attention`` with the same parameters; without relative positions no N x N matrix is stored."""

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(B, H, W, C)`` to ``(B, H, W, C)``."""
        batch, height, width, _ = x.shape
        qkv = self.qkv(x).reshape(batch, height * width, 3, self.num_heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        bias = self._bias(q, (height, width)) if self.use_rel_pos else None
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        return self.proj(out.transpose(1, 2).reshape(batch, height, width, -1))

    def _bias(self, q: Tensor, size: tuple[int, int]) -> Tensor:
        """Decomposed relative positions, ``(B, heads, N, N)``, from the unscaled queries ``(B, heads, N, d)``."""
        height, width = size
        grid = q.unflatten(2, size)
        rows = get_rel_pos(height, height, self.rel_pos_h).to(q.dtype)
        columns = get_rel_pos(width, width, self.rel_pos_w).to(q.dtype)
        by_row = torch.einsum("bnhwc,hkc->bnhwk", grid, rows)
        by_column = torch.einsum("bnhwc,wkc->bnhwk", grid, columns)
        return (by_row[..., :, None] + by_column[..., None, :]).flatten(4).flatten(2, 3)
