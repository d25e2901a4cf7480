"""detectron2's ViT with two choices of execution that leave its parameters and its function alone."""

from typing import Any

from detectron2.modeling.backbone.utils import get_abs_pos
from detectron2.modeling.backbone.vit import ViT
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from detection.model.attention import FusedAttention


class PlainViT(ViT):
    """``detectron2.modeling.ViT`` whose attention can be fused and whose activations can be recomputed.

    Args:
        fused_attention: PyTorch's SDPA kernels in place of plain matrix products.
        activation_checkpointing: recompute every block in the backward pass, through PyTorch (upstream's own option
            needs fairscale).
        options: as ``detectron2.modeling.ViT``.
    """

    def __init__(
        self, *, fused_attention: bool = False, activation_checkpointing: bool = False, **options: Any
    ) -> None:
        super().__init__(**options)
        self.activation_checkpointing = activation_checkpointing
        if fused_attention:
            for block in self.blocks:
                # Same parameters, same names: only the forward pass is another one.
                block.attn.__class__ = FusedAttention

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Maps images ``(N, 3, H, W)`` to one feature map ``(N, C, H / patch, W / patch)``."""
        x = self.patch_embed(x)
        x = x + get_abs_pos(self.pos_embed, self.pretrain_use_cls_token, (x.shape[1], x.shape[2]))
        for block in self.blocks:
            if self.activation_checkpointing and self.training:
                x = checkpoint(block, x, use_reentrant=False)
            else:
                x = block(x)
        return {self._out_features[0]: x.permute(0, 3, 1, 2)}
