"""Where the masked tokens of a decoder look (CrossMAE Table 6, appendix A.1 and A.2)."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from crossmae.analysis.views import all_masked
from crossmae.model.attention import CrossAttention, SelfAttention, attention_weights
from crossmae.model.autoencoder import MaskedAutoencoder


@dataclass(frozen=True)
class BlockAttention:
    """Attention of the masked tokens in one decoder block.

    In the unit of Table 6: the weight that a masked token gives to one token, averaged over the tokens and images and
    summed over the heads. The unit is not stated in the paper; it follows from the table's rows, all of which satisfy
    50 visible + 147 masked = 16 up to rounding (ViT-B: 49 visible patches and the class token, 147 masked patches,
    16 heads).
    """

    to_visible: float
    """Weight given to a visible patch or the class token."""
    to_masked: float
    """Weight given to a masked patch, itself included; 0 without self-attention."""


def total(blocks: Iterable[BlockAttention]) -> BlockAttention:
    """Sums over the blocks: the last row of Table 6."""
    rows = list(blocks)
    return BlockAttention(sum(row.to_visible for row in rows), sum(row.to_masked for row in rows))


@torch.no_grad()
def mask_token_attention(model: MaskedAutoencoder, batches: Iterable[tuple[Tensor, Tensor]]) -> list[BlockAttention]:
    """The attention of masked tokens in each decoder block, over all images.

    Args:
        batches: normalised images (n, 3, H, W) and the noise (n, num_patches) of their masks.
    """
    sums = torch.zeros(len(model.decoder.blocks), 2, dtype=torch.float64)
    images_seen = 0
    with _recording(model) as recorded:
        for images, noise in batches:
            model(images, *all_masked(noise, model.config))
            sums += len(images) * torch.tensor([_means(block, model.config.num_visible + 1) for block in recorded])
            images_seen += len(images)
            for block in recorded:
                block.clear()
    return [BlockAttention(*row) for row in (sums / max(images_seen, 1)).tolist()]


@torch.no_grad()
def patch_attention(model: MaskedAutoencoder, images: Tensor, noise: Tensor, patches: Tensor) -> Tensor:
    """Where one masked patch of each image looks, averaged over the decoder's heads and blocks.

    Args:
        images: (N, 3, H, W), normalised.
        noise: (N, num_patches) that the masks are drawn from.
        patches: (N,) the masked patch of each image.

    Returns:
        (N, num_patches) weight of each patch; the class token's is left out. With cross- and self-attention in a block,
        the weights of each of the two sum to 1.
    """
    ids_visible, ids_masked = all_masked(noise, model.config)
    place = (ids_masked == patches[:, None]).int().argmax(dim=1)
    with _recording(model) as recorded:
        model(images, ids_visible, ids_masked)
    weights = torch.stack([_of_patch(block, place, model.config.num_visible + 1) for block in recorded]).mean(dim=0)
    return torch.zeros_like(noise).scatter(1, torch.cat([ids_visible, ids_masked], dim=1), weights.to(noise.dtype))


def _of_patch(recorded: dict[str, Tensor], place: Tensor, num_visible: int) -> Tensor:
    """(N, patches) weights of the ``place``-th masked patch in one block: visible patches, then masked ones."""
    own, cross = recorded.get("self"), recorded.get("cross")
    if cross is None:
        assert own is not None
        return _row(own, num_visible + place)[:, 1:]
    to_visible = _row(cross, place)[:, 1:]
    to_masked = torch.zeros(cross.shape[0], cross.shape[2], device=cross.device) if own is None else _row(own, place)
    return torch.cat([to_visible, to_masked], dim=1)


def _row(weights: Tensor, place: Tensor) -> Tensor:
    """Row ``place`` (N,) of the weights (N, heads, Lq, Lk), averaged over heads: (N, Lk)."""
    return weights[torch.arange(len(place), device=place.device), :, place].mean(dim=1)


def _means(recorded: dict[str, Tensor], num_visible: int) -> tuple[float, float]:
    """The means to visible and to masked tokens of the attention weights (N, heads, Lq, Lk) of one block."""
    own, cross = recorded.get("self"), recorded.get("cross")
    if cross is not None:
        return _mean(cross), 0.0 if own is None else _mean(own)
    assert own is not None
    of_masked = own[:, :, num_visible:]
    return _mean(of_masked[..., :num_visible]), _mean(of_masked[..., num_visible:])


def _mean(weights: Tensor) -> float:
    return weights.double().mean(dim=(0, 2, 3)).sum().item()


@contextmanager
def _recording(model: MaskedAutoencoder) -> Iterator[list[dict[str, Tensor]]]:
    """Keeps the attention weights of every decoder block, under ``self`` and ``cross``, while the model runs."""
    recorded: list[dict[str, Tensor]] = [{} for _ in model.decoder.blocks]
    hooks = []
    for kept, block in zip(recorded, model.decoder.blocks, strict=True):
        for module in block.children():
            if isinstance(module, SelfAttention | CrossAttention):
                hooks.append(module.register_forward_pre_hook(_keeping(kept)))
    try:
        yield recorded
    finally:
        for hook in hooks:
            hook.remove()


def _keeping(kept: dict[str, Tensor]) -> Any:
    def hook(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(module, SelfAttention | CrossAttention)
        query, key, _ = module.project(*inputs)
        kept["self" if isinstance(module, SelfAttention) else "cross"] = attention_weights(query, key)

    return hook
