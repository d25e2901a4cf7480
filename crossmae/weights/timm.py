"""timm's VisionTransformer: with a backbone's weights in it, and as a source of weights."""

import logging
from collections.abc import Collection, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

import timm
import torch
from timm.layers import Attention, Mlp, get_act_layer
from timm.layers.activations import GELU, GELUTanh, QuickGELU
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn

from crossmae.errors import UserError
from crossmae.model.positions import resize_pos_embed
from crossmae.weights.describe import describe, is_plain
from crossmae.weights.files import Weights
from crossmae.weights.fit import load_strictly
from crossmae.weights.layouts.distributed import read_anything
from crossmae.weights.layouts.find import encoder_of, find_vit, log_left_out
from crossmae.weights.layouts.names import LEFT_OUT
from crossmae.weights.options import Activation, SourceOptions
from crossmae.weights.spec import BackboneSpec

_ACTIVATIONS: dict[type[nn.Module], Activation] = {
    nn.GELU: "gelu",
    GELU: "gelu",
    GELUTanh: "gelu_tanh",
    QuickGELU: "quick_gelu",
}
_HEAD = ("head.weight", "head.bias")
_POOLED_NORM = ("fc_norm.weight", "fc_norm.bias")
_NORM = ("norm.weight", "norm.bias")


def build_timm(
    weights: Mapping[str, Tensor],
    spec: BackboneSpec,
    num_classes: int,
    image_size: int | tuple[int, int] | None = None,
    drop_path: float = 0.0,
    global_pool: str = "avg",
    expected_missing: Collection[str] = (),
) -> VisionTransformer:
    """See ``Backbone.to_timm``; without ``weights`` the model has initial ones."""
    size = image_size or spec.image_size
    height, width = (size, size) if isinstance(size, int) else size
    model = VisionTransformer(
        **_dimensions(spec),
        img_size=size,
        num_classes=num_classes,
        global_pool=global_pool,
        fc_norm=global_pool == "avg",
        drop_path_rate=drop_path,
    )
    if not weights:
        return model
    placed = {name: tensor for name, tensor in weights.items() if global_pool == "token" or name not in _NORM}
    placed["pos_embed"] = resize_pos_embed(
        weights["pos_embed"], (height // spec.patch_size, width // spec.patch_size), spec.num_prefix
    )
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
        "norm_layer": partial(nn.LayerNorm, eps=spec.norm_eps),
        "act_layer": nn.GELU if spec.activation == "gelu" else get_act_layer(spec.activation),
    }


@cache
def has_plain_weights(name: str) -> bool:
    """Whether timm's model ``name`` is a plain vision transformer, of which every task has a class of its own."""
    plan = _plan(name)
    try:
        _said(plan, name)
    except UserError:
        return False
    return is_plain({name: tensor for name, tensor in plan.state_dict().items() if not LEFT_OUT.match(name)})


def _plan(name: str) -> Any:
    with torch.device("meta"):
        return timm.create_model(name, pretrained=False, num_classes=0)


def read_timm(name: str, source: str, options: SourceOptions) -> tuple[Weights, BackboneSpec]:
    """The weights of timm's model ``NAME``, or those of a file with timm's names for that model (``NAME@FILE``).

    Raises:
        UserError: unknown model, no plain vision transformer, or weights that cannot be had.
    """
    name, _, file = name.partition("@")
    if not timm.is_model(name):
        raise UserError(f"timm knows no model {name!r}", "find one with timm.list_models('vit_*')")
    plan = _plan(name)
    said = _said(plan, source)
    content = read_anything(Path(file)) if file else {**pretrained_weights(name)}
    encoder = encoder_of(find_vit(content, source, options))
    log_left_out(source, encoder)
    pretraining = {"method": plan.pretrained_cfg["tag"], **({"file": encoder.origin} if file else {})}
    return describe(encoder.weights, source, options.over(said), pretraining)


def _said(plan: Any, source: str) -> SourceOptions:
    """What timm's configuration of a model says that its weights do not."""
    if type(plan) is not VisionTransformer:
        raise UserError(f"{source} is a {type(plan).__name__}, no plain vision transformer")
    block = plan.blocks[0]
    if type(block) is not Block or type(block.attn) is not Attention or type(block.mlp) is not Mlp:
        kinds = ", ".join(type(part).__name__ for part in (block, *block.children()))
        raise UserError(f"{source} has other blocks than a plain vision transformer ({kinds})", "give a plain ViT")
    activation, norm = _ACTIVATIONS.get(type(block.mlp.act)), block.norm1
    if activation is None or not isinstance(norm, nn.LayerNorm):
        kinds = f"{type(block.mlp.act).__name__}, {type(norm).__name__}"
        raise UserError(f"{source} has an activation or a norm that no task can take ({kinds})", "give another ViT")
    config = plan.pretrained_cfg
    return SourceOptions(
        heads=block.attn.num_heads, act=activation, eps=norm.eps, mean=tuple(config["mean"]), std=tuple(config["std"])
    )


def pretrained_weights(name: str, **built: Any) -> Weights:
    """timm's pretrained weights of the model ``name``, for arguments ``built`` of its constructor.

    Raises:
        UserError: they are not here and cannot be downloaded.
    """
    # Offline, the hub's client warns ten times before it gives up; the error below says it once.
    client = logging.getLogger("huggingface_hub")
    level = client.level
    client.setLevel(logging.ERROR)
    try:
        return dict(timm.create_model(name, pretrained=True, num_classes=0, **built).state_dict())
    except Exception as error:  # whatever the download library of the day raises
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(
            f"timm has no pretrained weights of {name} here ({reason})",
            f"download them elsewhere and give timm:{name}@FILE",
        ) from error
    finally:
        client.setLevel(level)
