"""Attention in one place: backends, and the two modules that use them."""

from importlib.util import find_spec
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from crossmae.errors import UserError

Backend = Literal["auto", "sdpa", "flash_attn", "math"]
BACKENDS: tuple[Backend, ...] = ("auto", "sdpa", "flash_attn", "math")

_SHORT = 256
"""Tokens up to which ``math`` is chosen on a CPU."""


def attend(query: Tensor, key: Tensor, value: Tensor, backend: Backend = "auto") -> Tensor:
    """Scaled dot-product attention.

    Args:
        query: (N, Lq, heads, D).
        key, value: (N, Lk, heads, D).

    Returns:
        (N, Lq, heads * D).
    """
    if backend == "auto":
        backend = choose_backend(query, key)
    if backend == "flash_attn":
        return _flash(query, key, value)
    heads_first = (t.transpose(1, 2) for t in (query, key, value))
    mixed = (_math if backend == "math" else F.scaled_dot_product_attention)(*heads_first)
    return mixed.transpose(1, 2).flatten(2)


def choose_backend(query: Tensor, key: Tensor) -> Backend:
    """The fastest backend for this device and number of tokens; arguments as in ``attend``.

    Measured with torch 2.13, forward and backward, fp32, two CPU threads, milliseconds of ``math`` and ``sdpa``, at the
    float32 matmul precision "medium" that the trainer sets: 1.2 and 15 (batch 128, 17 tokens, 2 heads of 64), 7.3 and
    47 (batch 128, 65 tokens, 3 heads of 32), 3.3 and 24 (batch 16, 50 tokens, 12 heads of 64), 35 and 73 (batch 16, 197
    tokens, 12 heads of 64), 12 and 24 (batch 4, 257 tokens, 12 heads of 64); in bf16 ``math`` is 3 to 7 times faster.
    Beyond that ``sdpa`` is chosen for its smaller memory. The choice does not look at the matmul precision: in fp32 at
    "highest", PyTorch's own setting, ``sdpa`` is 4.8, 1.7, 1.8, 1.1 and 1.0 times as fast as ``math`` at these sizes.
    """
    if query.device.type != "cpu":
        return "sdpa"
    return "math" if query.shape[1] * key.shape[1] <= _SHORT**2 else "sdpa"


def check_backend(backend: str) -> Backend:
    """``backend``, if it is known and installed.

    Raises:
        UserError: unknown, or ``flash_attn`` without the package.
    """
    if backend not in BACKENDS:
        raise UserError(f"attention must be one of {', '.join(BACKENDS)}, not {backend!r}")
    if backend == "flash_attn" and find_spec("flash_attn") is None:
        raise UserError("attention flash_attn needs the flash-attn package: pip install flash-attn, or use sdpa")
    return next(known for known in BACKENDS if known == backend)


def attention_weights(query: Tensor, key: Tensor) -> Tensor:
    """What ``attend`` weighs the values with: (N, heads, Lq, Lk), rows summing to 1. Arguments as there."""
    query, key = query.transpose(1, 2), key.transpose(1, 2)
    return (query * query.shape[-1] ** -0.5 @ key.transpose(-2, -1)).softmax(dim=-1)


def _math(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    heads = query.shape[1]
    # Made contiguous once: a product of four-dimensional views copies its operands each time, the keys transposed.
    query, key, value = (t.flatten(0, 1) for t in (query, key, value))
    scores = query * query.shape[-1] ** -0.5 @ key.transpose(-2, -1)
    return (scores.softmax(dim=-1) @ value).unflatten(0, (-1, heads))


def _flash(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    if query.device.type != "cuda" or query.dtype not in (torch.float16, torch.bfloat16):
        raise UserError(
            f"attention flash_attn needs a CUDA device and half precision, not {query.device.type} {query.dtype}",
            "use precision bf16 or attention sdpa",
        )
    from flash_attn import flash_attn_func  # type: ignore[import-not-found, unused-ignore]

    mixed: Tensor = flash_attn_func(query, key, value)
    return mixed.flatten(2)


class SelfAttention(nn.Module):
    """Multi-head self-attention with one projection for queries, keys and values."""

    def __init__(self, dim: int, num_heads: int, backend: Backend = "auto") -> None:
        super().__init__()
        self.num_heads = num_heads
        self.backend: Backend = backend
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def project(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values of ``tokens`` (N, L, C), each (N, L, heads, D)."""
        count, length, _ = tokens.shape
        query, key, value = self.qkv(tokens).reshape(count, length, 3, self.num_heads, -1).unbind(2)
        return query, key, value

    def forward(self, tokens: Tensor) -> Tensor:
        """(N, L, C) to (N, L, C)."""
        mixed: Tensor = self.proj(attend(*self.project(tokens), self.backend))
        return mixed


class CrossAttention(nn.Module):
    """Multi-head attention of decoder tokens to encoder tokens, whose width may differ (CrossMAE section 3.2)."""

    def __init__(self, dim: int, context_dim: int, num_heads: int, backend: Backend = "auto") -> None:
        super().__init__()
        self.num_heads = num_heads
        self.backend: Backend = backend
        self.q = nn.Linear(dim, dim)
        self.kv = nn.Linear(context_dim, 2 * dim)
        self.proj = nn.Linear(dim, dim)

    def project(self, tokens: Tensor, context: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries of ``tokens`` (N, Lq, C), keys and values of ``context`` (N, Lk, Cc), each (N, L, heads, D)."""
        query = self.q(tokens).unflatten(-1, (self.num_heads, -1))
        key, value = self.kv(context).unflatten(-1, (2, self.num_heads, -1)).unbind(2)
        return query, key, value

    def forward(self, tokens: Tensor, context: Tensor) -> Tensor:
        """(N, Lq, C) and (N, Lk, Cc) to (N, Lq, C)."""
        mixed: Tensor = self.proj(attend(*self.project(tokens, context), self.backend))
        return mixed
