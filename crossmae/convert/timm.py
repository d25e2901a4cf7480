"""timm's VisionTransformer: with a backbone's weights in it, and as a source of weights."""

from collections.abc import Collection, Mapping
from functools import partial
from typing import Any

from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from crossmae.backbone import BackboneSpec
from crossmae.convert.fit import load_strictly
from crossmae.model.resize import resize_pos_embed

_HEAD = ("head.weight", "head.bias")
_POOLED_NORM = ("fc_norm.weight", "fc_norm.bias")
_NORM = ("norm.weight", "norm.bias")


def build_timm(
    weights: Mapping[str, Tensor],
    spec: BackboneSpec,
    num_classes: int,
    image_size: int | None = None,
    drop_path: float = 0.0,
    global_pool: str = "avg",
    expected_missing: Collection[str] = (),
) -> VisionTransformer:
    """See ``Backbone.to_timm``."""
    size = image_size or spec.image_size
    model = VisionTransformer(
        **_dimensions(spec),
        img_size=size,
        num_classes=num_classes,
        global_pool=global_pool,
        fc_norm=global_pool == "avg",
        drop_path_rate=drop_path,
    )
    placed = {name: tensor for name, tensor in weights.items() if global_pool == "token" or name not in _NORM}
    placed["pos_embed"] = resize_pos_embed(weights["pos_embed"], size // spec.patch_size, spec.num_prefix)
    load_strictly(model, placed, spec.source, {*_HEAD, *_POOLED_NORM, *expected_missing})
    return model


def _dimensions(spec: BackboneSpec) -> dict[str, Any]:
    return {
        "patch_size": spec.patch_size,
        "embed_dim": spec.embed_dim,
        "depth": spec.depth,
        "num_heads": spec.num_heads,
        "mlp_ratio": spec.mlp_ratio,
        "class_token": spec.class_token,
        "reg_tokens": spec.num_registers,
        "init_values": 1.0 if spec.layer_scale else None,
        "norm_layer": partial(nn.LayerNorm, eps=1e-6),
    }
