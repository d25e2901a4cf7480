"""The feature maps of any timm model, and nothing else of it."""

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

STRIDES = (4, 8, 16, 32)
"""Of the stages that detectors and segmenters take from a model with several strides, in pixels."""

_QUARTERS = 4


class Maps(nn.Module):
    """Images (N, 3, H, W), normalised, to one map (N, C, h, w) per tap.

    What no tap reaches is removed (later blocks, final norm, pooling, head), so that training leaves no parameter
    without a gradient.

    Attributes:
        trunk: timm's model.
        staged: whether the maps have several strides.
        taps: the blocks or stages that are tapped, counted from 0.
        strides, channels: of each map, in pixels and in number.
        num_prefix: tokens in front of the patches.
    """

    def __init__(self, trunk: Any, taps: Sequence[int] | None = None) -> None:
        """``taps``: by default the last block of each quarter, or the stages of ``STRIDES``."""
        super().__init__()
        strides, channels = strides_and_channels(trunk)
        self.staged = len(set(strides)) > 1
        self.taps = list(default_taps(strides) if taps is None else taps)
        self.strides = tuple(strides[tap] for tap in self.taps)
        self.channels = tuple(channels[tap] for tap in self.taps)
        self.num_prefix = prefix_tokens(trunk)
        self._final_norm = (trained_norm(trunk),)  # in a tuple, so that it is no part of this module
        trunk.prune_intermediate_layers(self.taps, prune_norm=True, prune_head=True)
        self.trunk = trunk

    def forward(self, images: Tensor) -> list[Tensor]:
        maps: list[Tensor] = self.trunk.forward_intermediates(
            images, indices=self.taps, norm=False, output_fmt="NCHW", intermediates_only=True
        )
        return maps

    @property
    def final_norm(self) -> nn.Module:
        """The norm behind the last block that pretraining trained, which is no part of this module; else Identity."""
        return self._final_norm[0]

    def with_prefix(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Prefix tokens (N, P, C) of the last tap, P may be 0, and the maps."""
        if not self.num_prefix:
            maps = self(images)
            return maps[-1].new_zeros(len(images), 0, maps[-1].shape[1]), maps
        pairs = self.trunk.forward_intermediates(
            images,
            indices=self.taps,
            norm=False,
            output_fmt="NCHW",
            return_prefix_tokens=True,
            intermediates_only=True,
        )
        return pairs[-1][1], [pair[0] for pair in pairs]


def normed(norm: nn.Module, tokens: Tensor) -> Tensor:
    """Tokens (..., C) through ``norm``, also through one that expects channels first."""
    if type(norm).__name__.endswith("2d"):
        return F.layer_norm(tokens, tokens.shape[-1:], norm.weight, norm.bias, norm.eps)  # type: ignore[arg-type]
    normalised: Tensor = norm(tokens)
    return normalised


def strides_and_channels(trunk: Any) -> tuple[list[int], list[int]]:
    """Of every block or stage that can be tapped, from the first to the last."""
    info = getattr(trunk.feature_info, "info", trunk.feature_info)
    strides, channels = [_side(stage["reduction"]) for stage in info], [int(stage["num_chs"]) for stage in info]
    if len(set(strides)) == 1 and (embedding := getattr(trunk, "patch_embed", None)) is not None:
        # After a change of the patch size feature_info keeps the old one.
        ratio = getattr(embedding, "feat_ratio", None)
        strides = [_side(ratio()) if ratio else strides[0]] * len(strides)
    return strides, channels


def default_taps(strides: Sequence[int]) -> list[int]:
    """The last block of each quarter of a plain model; of stages those of ``STRIDES``."""
    if len(set(strides)) > 1:
        return [tap for tap, stride in enumerate(strides) if stride in STRIDES]
    return quarters(len(strides))


def quarters(depth: int) -> list[int]:
    """The last block of each quarter of ``depth`` blocks, counted from 0; fewer if there are not four."""
    return sorted({(quarter + 1) * depth // _QUARTERS - 1 for quarter in range(_QUARTERS)} - {-1})


def prefix_tokens(trunk: Any) -> int:
    """Tokens in front of the patches."""
    return int(getattr(trunk, "num_prefix_tokens", 0) or 0)


def trained_norm(trunk: Any) -> nn.Module:
    """The norm behind the last block that pretraining trained; Identity if there is none.

    EVA-02 and BEiT keep it behind the pooling (``fc_norm``), ConvNeXt and Hiera in the head.
    """
    for norm in (getattr(trunk, "norm", None), getattr(trunk, "fc_norm", None), _of_head(trunk)):
        if isinstance(norm, nn.Module) and not isinstance(norm, nn.Identity):
            return norm
    return nn.Identity()


def _of_head(trunk: Any) -> Any:
    return getattr(getattr(trunk, "head", None), "norm", None)


def _side(size: Any) -> int:
    return int(size[0] if isinstance(size, tuple | list) else size)
