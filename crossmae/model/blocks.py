"""Pre-norm transformer blocks of the encoder and the decoders."""

from torch import Tensor, nn
from torch.nn import functional as F

from crossmae.model.attention import Backend, CrossAttention, SelfAttention

MLP_RATIO = 4
NORM_EPS = 1e-6


def layer_norm(dim: int) -> nn.LayerNorm:
    """LayerNorm with the epsilon of MAE's released code."""
    return nn.LayerNorm(dim, eps=NORM_EPS)


class Mlp(nn.Module):
    """Two linear layers with an exact GELU between."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, MLP_RATIO * dim)
        self.fc2 = nn.Linear(MLP_RATIO * dim, dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """(N, L, C) to (N, L, C)."""
        output: Tensor = self.fc2(F.gelu(self.fc1(tokens)))
        return output


class Block(nn.Module):
    """Self-attention, then MLP: the block of the encoder and of MAE's decoder."""

    def __init__(self, dim: int, num_heads: int, backend: Backend = "auto") -> None:
        super().__init__()
        self.norm1 = layer_norm(dim)
        self.attn = SelfAttention(dim, num_heads, backend)
        self.norm2 = layer_norm(dim)
        self.mlp = Mlp(dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """(N, L, C) to (N, L, C)."""
        tokens = tokens + self.attn(self.norm1(tokens))
        return tokens + self.mlp(self.norm2(tokens))


class CrossBlock(nn.Module):
    """Cross-attention to the visible tokens, then MLP; masked tokens do not see each other (CrossMAE section 3.2)."""

    def __init__(self, dim: int, context_dim: int, num_heads: int, backend: Backend = "auto") -> None:
        super().__init__()
        self.norm1 = layer_norm(dim)
        self.cross_attn = CrossAttention(dim, context_dim, num_heads, backend)
        self.norm2 = layer_norm(dim)
        self.mlp = Mlp(dim)

    def forward(self, tokens: Tensor, context: Tensor) -> Tensor:
        """(N, Lq, C) and normalised (N, Lk, Cc) to (N, Lq, C)."""
        tokens = tokens + self.cross_attn(self.norm1(tokens), context)
        return tokens + self.mlp(self.norm2(tokens))


class CrossSelfBlock(CrossBlock):
    """Self-attention among the masked tokens before the cross-attention (CrossMAE Table 3a)."""

    def __init__(self, dim: int, context_dim: int, num_heads: int, backend: Backend = "auto") -> None:
        super().__init__(dim, context_dim, num_heads, backend)
        self.norm0 = layer_norm(dim)
        self.self_attn = SelfAttention(dim, num_heads, backend)

    def forward(self, tokens: Tensor, context: Tensor) -> Tensor:
        """(N, Lq, C) and normalised (N, Lk, Cc) to (N, Lq, C)."""
        return super().forward(tokens + self.self_attn(self.norm0(tokens)), context)
