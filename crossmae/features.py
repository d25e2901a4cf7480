"""The least that a task needs from a backbone: images in, image and patch features out, whatever the model."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from crossmae.errors import UserError
from crossmae.weights.files import Weights
from crossmae.weights.spec import BackboneSpec
from crossmae.weights.timm import build_timm
from crossmae.wrapped.build import Size, build, require_whole_patches
from crossmae.wrapped.layers import layer_ids
from crossmae.wrapped.maps import default_taps, normed, quarters, strides_and_channels, trained_norm
from crossmae.wrapped.spec import WrappedSpec


@dataclass(frozen=True)
class FeatureOutput:
    """The features of N images."""

    pooled: Tensor
    """(N, C): the image's one vector, made as ``Features.pooling`` says."""
    prefix: Tensor
    """(N, P, C): class tokens and registers of the last block; P may be 0."""
    maps: list[Tensor]
    """One (N, C, H, W) per tap, from the first block or stage to the last."""


class Features(nn.Module):
    """A model as a source of features; the caller freezes or trains it.

    Attributes:
        mean, std: normalisation of the images that it takes, per channel.
        interpolation: by which images are resized for it.
        patch_size: sides of images are multiples of it, in pixels.
        pooling: how ``pooled`` is made: ``token`` (the class token), ``avg`` (mean of the patch tokens), ``map``
            (attention pooling), or another name of timm's.
        normalised: whether the features are those after the final norm.
        taps, strides, channels: of each map: its block or stage, pixels, number of channels.
    """

    taps: list[int]
    strides: tuple[int, ...]
    channels: tuple[int, ...]

    def __init__(self, about: BackboneSpec | WrappedSpec, pooling: str, norm: bool | None) -> None:
        """Raises UserError for ``norm`` of a model that has none."""
        super().__init__()
        if norm and not about.final_norm:
            raise UserError(f"{about.source} has no final norm, so there are no features after it", "take the raw ones")
        self.mean, self.std, self.interpolation = about.mean, about.std, about.interpolation
        self.patch_size, self.pooling = about.patch_size, pooling
        self.normalised = about.final_norm if norm is None else norm

    @abstractmethod
    def forward(self, images: Tensor) -> FeatureOutput:
        """Features of normalised ``images`` (N, 3, H, W)."""

    @abstractmethod
    def tokens(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Prefix tokens (N, P, C) and patch tokens (N, H * W, C) of the last block, before the final norm."""

    @abstractmethod
    def final_norm(self, tokens: Tensor) -> Tensor:
        """Tokens (N, L, C) of the last block after the final norm, if there is one."""

    @property
    @abstractmethod
    def body(self) -> Any:
        """The module without a head whose ``forward_features`` gives all tokens after the final norm, prefix first."""

    def layers(self) -> dict[str, int]:
        """The layer of each parameter of timm's model by its name there, from 0 for the embedding, as timm counts."""
        return layer_ids(self.trunk)

    @property
    def no_weight_decay(self) -> set[str]:
        """Names of the parameters that timm's model keeps from weight decay."""
        return set(self.trunk.no_weight_decay()) if hasattr(self.trunk, "no_weight_decay") else set()

    @property
    @abstractmethod
    def trunk(self) -> Any:
        """timm's model."""


class ViTFeatures(Features):
    """A plain vision transformer as a source of features: ``vit``, timm's VisionTransformer without a head."""

    def __init__(self, weights: Weights, spec: BackboneSpec, image_size: Size | None, norm: bool | None) -> None:
        """See ``Backbone.features``."""
        super().__init__(spec, "token" if spec.class_token else "avg", norm)
        size = image_size or spec.image_size
        require_whole_patches(size, spec)
        # timm's averaging model has no class token to insist on; the final norm that it leaves out is put back.
        self.vit = build_timm(weights, spec, 0, size, global_pool="avg")
        self.vit.norm, self.vit.fc_norm = _final_norm(weights, spec), nn.Identity()
        self.taps = quarters(spec.depth)
        self.strides = (spec.patch_size,) * len(self.taps)
        self.channels = (spec.embed_dim,) * len(self.taps)

    def forward(self, images: Tensor) -> FeatureOutput:
        """Features of normalised ``images`` (N, 3, H, W)."""
        taken = self.vit.forward_intermediates(
            images, indices=self.taps, norm=self.normalised, return_prefix_tokens=True, intermediates_only=True
        )
        # Without prefix tokens timm returns the maps alone.
        pairs = [tap if isinstance(tap, tuple) else (tap, tap.new_zeros(len(tap), 0, tap.shape[1])) for tap in taken]
        last, prefix = pairs[-1]
        pooled = prefix[:, 0] if self.pooling == "token" else last.flatten(2).mean(dim=2)
        return FeatureOutput(pooled, prefix, [tap for tap, _ in pairs])

    def tokens(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Prefix tokens (N, P, C) and patch tokens (N, H * W, C) of the last block, before the final norm."""
        (taken,) = self.vit.forward_intermediates(
            images, indices=1, norm=False, output_fmt="NLC", return_prefix_tokens=True, intermediates_only=True
        )
        if isinstance(taken, tuple):
            patches, prefix = taken
            return prefix, patches
        return taken[:, :0], taken

    def final_norm(self, tokens: Tensor) -> Tensor:
        """Tokens (N, L, C) of the last block after the final norm, if there is one."""
        normalised: Tensor = self.vit.norm(tokens)
        return normalised

    @property
    def body(self) -> Any:
        """The vision transformer."""
        return self.vit

    @property
    def trunk(self) -> Any:
        """The vision transformer."""
        return self.vit


class WrappedFeatures(Features):
    """Any timm model as a source of features: ``model``, without a head but with its own pooling."""

    def __init__(
        self, weights: Mapping[str, Tensor], spec: WrappedSpec, image_size: Size | None, norm: bool | None
    ) -> None:
        """See ``Backbone.features``."""
        model = build(weights, spec, image_size)
        pooling = getattr(model, "global_pool", None)
        super().__init__(spec, pooling if pooling and isinstance(pooling, str) else "avg", norm)
        self.model, self.num_prefix = model, spec.num_prefix
        strides, channels = strides_and_channels(model)
        self.taps = default_taps(strides)
        self.strides = tuple(strides[tap] for tap in self.taps)
        self.channels = tuple(channels[tap] for tap in self.taps)

    def forward(self, images: Tensor) -> FeatureOutput:
        """Features of normalised ``images``; ``pooled`` is the model's own, always after its norm."""
        final, pairs = self._taken(images, self.taps)
        maps = [tap for tap, _ in pairs]
        prefix = pairs[-1][1]
        if self.normalised:
            width = maps[-1].shape[1]
            maps = [self._normed_map(tap) if tap.shape[1] == width else tap for tap in maps]
            prefix = self.final_norm(prefix)
        return FeatureOutput(self.model.forward_head(final, pre_logits=True), prefix, maps)

    def tokens(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Prefix tokens (N, P, C) and patch tokens (N, H * W, C) of the last block, before the final norm."""
        _, ((last, prefix),) = self._taken(images, self.taps[-1:])
        return prefix, last.flatten(2).mT

    def final_norm(self, tokens: Tensor) -> Tensor:
        """Tokens (N, L, C) of the last block after the final norm, if there is one."""
        return normed(trained_norm(self.model), tokens)

    def forward_features(self, images: Tensor) -> Tensor:
        """All tokens (N, P + H * W, C) after the final norm."""
        return self.final_norm(torch.cat(self.tokens(images), dim=1))

    @property
    def body(self) -> Any:
        """The module itself."""
        return self

    @property
    def trunk(self) -> Any:
        """timm's model."""
        return self.model

    def _normed_map(self, tap: Tensor) -> Tensor:
        return self.final_norm(tap.flatten(2).mT).mT.unflatten(2, tap.shape[2:])

    def _taken(self, images: Tensor, taps: list[int]) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        """What the last block gives, and a map and prefix tokens of each of ``taps``."""
        options = {"return_prefix_tokens": True} if self.num_prefix else {}
        final, taken = self.model.forward_intermediates(images, indices=taps, output_fmt="NCHW", **options)
        if self.num_prefix:
            return final, taken
        return final, [(tap, tap.new_zeros(len(tap), 0, tap.shape[1])) for tap in taken]


def _final_norm(weights: Weights, spec: BackboneSpec) -> nn.Module:
    if not spec.final_norm:
        return nn.Identity()
    norm = nn.LayerNorm(spec.embed_dim, eps=spec.norm_eps)
    if weights:
        norm.load_state_dict({name: torch.as_tensor(weights[f"norm.{name}"]) for name in ("weight", "bias")})
    return norm
