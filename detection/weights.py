"""Pretrained weights into detectron2's ViT, key by key: whatever finds no place, or no weight, is an error."""

import re
from dataclasses import dataclass

import torch
from detectron2.modeling import ViT
from torch import Tensor

from crossmae.backbone import Backbone, BackboneSpec, resize_patch_kernel
from crossmae.errors import UserError
from crossmae.weights.fit import misfit

NOT_USED = ("cls_token", "reg_token", "norm.weight", "norm.bias")
"""Weights that ViTDet has no place for: it attends to patches only, and takes the features before the final norm."""

STARTS_AT_ZERO = re.compile(r"blocks\.\d+\.attn\.rel_pos_[hw]")
"""Weights of ViTDet that no pretrained ViT has: its tables of relative positions, which start at zero."""


@dataclass(frozen=True)
class Loaded:
    """The names that were passed over on either side; everything else was copied."""

    not_used: tuple[str, ...]
    starting_at_zero: tuple[str, ...]


def load_backbone(vit: ViT, backbone: Backbone) -> Loaded:
    """Copies ``backbone`` into ``vit``, whose patch size may differ.

    LayerScale is folded into the projections before it, which leaves the function as it is.

    Raises:
        UserError: a weight without a place, a place without a weight, or another shape; all of them named.
    """
    weights = detector_state(backbone, vit.patch_embed.proj.kernel_size[0])
    places = vit.state_dict()
    zero = tuple(name for name in places if STARTS_AT_ZERO.fullmatch(name))
    if complaint := misfit(places, weights, zero):
        raise UserError(f"backbone {backbone.spec.source} does not fit ViTDet: {complaint}")
    vit.load_state_dict(weights, strict=False)
    return Loaded(tuple(name for name in backbone.state_dict() if name in NOT_USED), zero)


def detector_state(backbone: Backbone, patch_size: int) -> dict[str, Tensor]:
    """Gives the weights of ``backbone`` under the names of detectron2's ViT, for patches of ``patch_size`` pixels.

    Position embeddings keep the grid of pretraining: detectron2 resizes them in every forward pass, by the rule of
    ``crossmae.backbone.resize_pos_embed``.
    """
    weights = {name: weight for name, weight in backbone.state_dict().items() if name not in NOT_USED}
    weights["patch_embed.proj.weight"] = resize_patch_kernel(weights["patch_embed.proj.weight"], patch_size)
    weights["pos_embed"] = _positions(weights["pos_embed"], backbone.spec)
    return _without_layer_scale(weights)


def _positions(pos_embed: Tensor, spec: BackboneSpec) -> Tensor:
    """Keeps the class token's position, if any, and those of the patches; drops those of registers."""
    return torch.cat([pos_embed[:, : int(spec.class_token)], pos_embed[:, spec.num_prefix :]], dim=1)


def _without_layer_scale(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    folded = {name: weight for name, weight in weights.items() if not name.endswith((".ls1.gamma", ".ls2.gamma"))}
    for name, gamma in weights.items():
        if name not in folded:
            layer = name.replace("ls1.gamma", "attn.proj").replace("ls2.gamma", "mlp.fc2")
            folded[f"{layer}.weight"] = folded[f"{layer}.weight"] * gamma[:, None]
            folded[f"{layer}.bias"] = folded[f"{layer}.bias"] * gamma
    return folded
