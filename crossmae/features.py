"""The least that a task needs from a backbone: images in, image and patch features out, whatever the model."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from crossmae.errors import UserError
from crossmae.weights.files import Weights
from crossmae.weights.spec import BackboneSpec
from crossmae.weights.timm import build_timm

_STAGES = 4


@dataclass(frozen=True)
class FeatureOutput:
    """The features of N images."""

    pooled: Tensor
    """(N, C): the image's one vector, made as ``ViTFeatures.pooling`` says."""
    prefix: Tensor
    """(N, P, C): class token and registers of the last block; P may be 0."""
    maps: list[Tensor]
    """One (N, C, H, W) per tap, from the first block to the last."""


class ViTFeatures(nn.Module):
    """A plain vision transformer as a source of features; the caller freezes or trains it.

    Attributes:
        vit: timm's VisionTransformer without a head.
        mean, std: normalisation of the images that it takes, per channel.
        patch_size: side of a patch in pixels.
        pooling: how ``pooled`` is made: ``token`` (the class token) or ``avg`` (mean of the patch tokens).
        normalised: whether the features are those after the final norm.
        strides, channels: of each map, in pixels and in number.
    """

    def __init__(self, weights: Weights, spec: BackboneSpec, image_size: int | None, norm: bool | None) -> None:
        """See ``Backbone.features``."""
        super().__init__()
        size = image_size or spec.image_size
        if size % spec.patch_size:
            near = " or ".join(str(spec.patch_size * (size // spec.patch_size + more)) for more in (0, 1))
            raise UserError(
                f"image_size {size} is no multiple of {spec.source}'s patches of {spec.patch_size} pixels",
                f"set image_size to {near}",
            )
        if norm and not spec.final_norm:
            raise UserError(f"{spec.source} has no final norm, so there are no features after it", "take the raw ones")
        # timm's averaging model has no class token to insist on; the final norm that it leaves out is put back.
        self.vit = build_timm(weights, spec, 0, size, global_pool="avg")
        self.vit.norm, self.vit.fc_norm = _final_norm(weights, spec), nn.Identity()
        self.mean, self.std, self.patch_size = spec.mean, spec.std, spec.patch_size
        self.pooling = "token" if spec.class_token else "avg"
        self.normalised = spec.final_norm if norm is None else norm
        self.taps = sorted({(stage + 1) * spec.depth // _STAGES - 1 for stage in range(_STAGES)} - {-1})
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


def _final_norm(weights: Weights, spec: BackboneSpec) -> nn.Module:
    if not spec.final_norm:
        return nn.Identity()
    norm = nn.LayerNorm(spec.embed_dim, eps=spec.norm_eps)
    norm.load_state_dict({name: torch.as_tensor(weights[f"norm.{name}"]) for name in ("weight", "bias")})
    return norm
