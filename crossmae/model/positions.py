"""Fixed two-dimensional sine-cosine position embeddings."""

import torch
from torch import Tensor


def sincos_positions(dim: int, grid: int) -> Tensor:
    """Position embeddings of a class token (zeros) and ``grid`` x ``grid`` patches in raster order.

    The first half of the channels encodes the column, the second the row (MAE's released code).

    Returns:
        (1, 1 + grid**2, dim) float32.
    """
    steps = torch.arange(grid, dtype=torch.float64)
    along = _sincos(dim // 2, steps)
    columns = along[None].expand(grid, -1, -1)
    rows = along[:, None].expand(-1, grid, -1)
    patches = torch.cat([columns, rows], dim=-1).reshape(grid**2, dim)
    return torch.cat([torch.zeros(1, dim, dtype=torch.float64), patches])[None].float()


def _sincos(dim: int, positions: Tensor) -> Tensor:
    frequencies = 10000.0 ** -(torch.arange(dim // 2, dtype=torch.float64) / (dim / 2))
    angles = torch.outer(positions, frequencies)
    return torch.cat([angles.sin(), angles.cos()], dim=1)
