"""Position embeddings: the fixed ones, and the one rule by which they and patch kernels change size for every task."""

import torch
from torch import Tensor
from torch.nn import functional as F


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


def resize_pos_embed(pos_embed: Tensor, grid: int | tuple[int, int], num_prefix: int = 1) -> Tensor:
    """Resizes the positions of a square grid of patches; the prefix (class token, registers) stays as it is.

    Bicubic without antialiasing, corners not aligned: as MAE, detectron2 and mmsegmentation do (timm antialiases).

    Args:
        pos_embed: (1, num_prefix + L, C) with L a square number.
        grid: patches per side, or (rows, columns).

    Returns:
        (1, num_prefix + rows * columns, C).
    """
    rows, columns = (grid, grid) if isinstance(grid, int) else grid
    prefix, patches = pos_embed[:, :num_prefix], pos_embed[:, num_prefix:]
    side = round(patches.shape[1] ** 0.5)
    if side**2 != patches.shape[1]:
        raise ValueError(f"{patches.shape[1]} patch positions are no square grid")
    if (side, side) == (rows, columns):
        return pos_embed
    image = patches.float().unflatten(1, (side, side)).permute(0, 3, 1, 2)
    resized = _bicubic(image, (rows, columns)).permute(0, 2, 3, 1).flatten(1, 2).to(pos_embed.dtype)
    return torch.cat([prefix, resized], dim=1)


def resize_patch_kernel(weight: Tensor, patch_size: int) -> Tensor:
    """Resizes a patch embedding kernel (C, 3, p, p) to ``patch_size``: bicubic.

    The sum over a patch is not rescaled. How MAE's authors made ViTDet's patch-16 kernel of a patch-14 one, in their
    file ``p14to16``, is not published.
    """
    if weight.shape[-1] == patch_size:
        return weight
    return _bicubic(weight.float(), (patch_size, patch_size)).to(weight.dtype)


def _bicubic(image: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(image, size=size, mode="bicubic", align_corners=False, antialias=False)
