"""The one rule by which position embeddings and patch kernels change size, for every task."""

import torch
from torch import Tensor
from torch.nn import functional as F


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
    """Resizes a patch embedding kernel (C, 3, p, p) to ``patch_size``: bicubic, as MAE's patch-14 files were made
    into patch-16 ones for ViTDet. The sum over a patch is not rescaled."""
    if weight.shape[-1] == patch_size:
        return weight
    return _bicubic(weight.float(), (patch_size, patch_size)).to(weight.dtype)


def _bicubic(image: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(image, size=size, mode="bicubic", align_corners=False, antialias=False)
