"""Hugging Face folders of models that are no plain ViTs, as the models of timm that compute the same.

DINOv3, CLIP and SigLIP, alone or as the image tower of a whole model, and DINOv2 with gated MLPs. Sizes are those of
the weights. What weights do not show is read from the configuration, which may leave out the defaults of transformers
(5.23): they stand here.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import isqrt
from typing import Any

from torch import Tensor

from crossmae.errors import UserError, one_line
from crossmae.parsing import Count, Positive, Strict
from crossmae.run.rank import is_main
from crossmae.weights.checkpoint import CONFIG
from crossmae.weights.files import Weights
from crossmae.weights.fit import misfit
from crossmae.weights.huggingface.folder import local_folder, read_images, read_part, weights_in
from crossmae.weights.layouts.find import encoder_of, find_vit, log_left_out
from crossmae.weights.layouts.names import CLIP, DINOV2_GATED, DINOV3, SIGLIP, Layout
from crossmae.weights.options import Interpolation, SourceOptions
from crossmae.weights.spec import count_blocks
from crossmae.wrapped.build import sketch
from crossmae.wrapped.describe import describe_model
from crossmae.wrapped.spec import WrappedSpec

log = logging.getLogger("crossmae")

Values = dict[str, Any]

_ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "quick_gelu": "quick_gelu",
    "silu": "silu",
}
"""transformers' names and timm's."""

_RESAMPLING: dict[int | None, Interpolation] = {2: "bilinear", 3: "bicubic"}


@dataclass(frozen=True)
class _Config(Strict):
    """What is read of a configuration; None where it is silent."""

    model_type: str | None = None
    num_attention_heads: Count | None = None
    hidden_act: str | None = None
    layer_norm_eps: Positive | None = None
    image_size: Count | None = None
    rope_theta: Positive | None = None
    use_gated_mlp: bool = False
    use_swiglu_ffn: bool = False


@dataclass(frozen=True)
class _Family:
    """One kind of model: its names, timm's model with the same inside, and transformers' defaults."""

    layout: Layout
    model: str
    heads: int
    activation: str
    eps: float
    """Also that of timm's model."""
    adapt: Callable[[Weights, _Config], tuple[Weights, Values]]
    """What the rules of names cannot do, and the arguments of timm's model that only this kind has."""


def read_wrapped_folder(name: str, source: str, options: SourceOptions) -> tuple[Weights, WrappedSpec] | None:
    """Weights under timm's names, and what they are, of a folder or of a model of this name on the hub.

    Returns:
        None for a folder of another kind of model.

    Raises:
        UserError: weights or a configuration that timm's model has no place for, or options other than ``mean`` and
            ``std``.
    """
    folder = local_folder(name)
    config = read_part(folder / CONFIG, _Config)
    if (family := _family(config)) is None:
        return None
    if unfit := options.given().keys() - {"mean", "std"}:
        raise UserError(f"{source}: the folder says {', '.join(sorted(unfit))} of this model", "leave it out")
    encoder = encoder_of(find_vit(weights_in(folder), source, SourceOptions(), (family.layout,)))
    log_left_out(source, encoder)
    weights, built = _converted(encoder.weights, config, family, source)
    images = read_images(folder)
    said = options.over(SourceOptions(mean=images.image_mean, std=images.image_std))
    spec = describe_model(family.model, built, source, said)
    if complaint := misfit(sketch(family.model, built).state_dict(), weights):
        raise UserError(f"{source} does not fit timm's {family.model}: {complaint}")
    pretraining = {"method": config.model_type, "wrapped": spec.pretraining["wrapped"], "file": encoder.origin}
    if said.mean is None or said.std is None:
        pretraining["assumed"] = {"mean": spec.mean, "std": spec.std}
        if is_main():
            log.warning("%s does not say its normalisation, timm's is assumed: %s, %s", source, spec.mean, spec.std)
    resized = _RESAMPLING.get(images.resample, spec.interpolation)
    return weights, replace(spec, interpolation=resized, pretraining=pretraining)


def _family(config: _Config) -> _Family | None:
    if config.model_type in ("dinov2", "dinov2_with_registers"):
        return _DINOV2_GATED if config.use_swiglu_ffn else None
    return _FAMILIES.get(str(config.model_type))


def _converted(weights: Weights, config: _Config, family: _Family, source: str) -> tuple[Weights, Values]:
    """The weights and the arguments of timm's model."""
    activation = config.hidden_act or family.activation
    if activation not in _ACTIVATIONS:
        raise UserError(f"{source} has an activation that timm's {family.model} has not ({activation})")
    if (config.layer_norm_eps or family.eps) != family.eps:
        raise UserError(
            f"{source} has norms with epsilon {config.layer_norm_eps:g}, timm's {family.model} has {family.eps:g}"
        )
    kernel = weights["patch_embed.proj.weight"]
    if kernel.ndim != 4 or not kernel.numel():
        raise UserError(f"{source} has a patch embedding of shape {tuple(kernel.shape)}", "take a model of images")
    width, _, _, patch = kernel.shape
    try:
        weights, own = family.adapt(dict(weights), replace(config, hidden_act=_ACTIVATIONS[activation]))
        prefix = sum(weights[name].shape[1] for name in ("cls_token", "reg_token") if name in weights)
        positions = weights.get("pos_embed")
        side = (config.image_size or 224) if positions is None else patch * isqrt(positions.shape[1] - prefix)
    except (KeyError, IndexError, ValueError, RuntimeError) as error:
        raise UserError(f"{source} is no {family.layout.name} that timm has ({one_line(error, 80)})") from error
    return weights, {
        "img_size": side,
        "patch_size": patch,
        "embed_dim": width,
        "depth": count_blocks(weights, "blocks."),
        "num_heads": config.num_attention_heads or family.heads,
        **own,
    }


def _ratio(weights: Mapping[str, Tensor], layer: str) -> float:
    """The MLP ratio of which timm makes, rounding down, as many units as ``layer`` has."""
    units, width = weights[f"blocks.0.mlp.{layer}.weight"].shape
    return float((units + 0.5) / width)


def _clip(weights: Weights, config: _Config) -> tuple[Weights, Values]:
    weights.pop("embeddings.position_ids", None)  # 0, 1, 2, ...
    changed = {"cls_token": weights["cls_token"].reshape(1, 1, -1), "pos_embed": weights["pos_embed"][None]}
    return {**weights, **changed}, {"mlp_ratio": _ratio(weights, "fc1"), "act_layer": config.hidden_act}


def _siglip(weights: Weights, config: _Config) -> tuple[Weights, Values]:
    weights.pop("embeddings.position_ids", None)
    weights["pos_embed"] = weights["pos_embed"][None]
    own: Values = {"mlp_ratio": _ratio(weights, "fc1"), "act_layer": config.hidden_act}
    if "attn_pool.latent" not in weights:
        return weights, {**own, "global_pool": "avg", "fc_norm": False}
    width = weights["attn_pool.latent"].shape[-1]
    for kind in ("weight", "bias"):
        query, keys_values = weights.pop(f"attn_pool.qkv.{kind}").split([width, 2 * width])
        weights |= {f"attn_pool.q.{kind}": query, f"attn_pool.kv.{kind}": keys_values}
    return weights, own


def _dinov3(weights: Weights, config: _Config) -> tuple[Weights, Values]:
    if config.hidden_act != ("silu" if config.use_gated_mlp else "gelu"):
        raise ValueError(f"{config.hidden_act} in its MLPs, which timm's has not")
    gated: Values = {}
    if config.use_gated_mlp:
        weights = {name.replace(".mlp.fc1.", ".mlp.fc1_x."): tensor for name, tensor in weights.items()}
        gated = {"swiglu_mlp": True, "swiglu_align_to": 1}  # timm has two layers for the halves of the gate then
    return weights, {
        **gated,
        "mlp_ratio": _ratio(weights, "fc1_g" if gated else "fc1"),
        "qkv_bias": "blocks.0.attn.q_bias" in weights,
        "num_reg_tokens": weights["reg_token"].shape[1] if "reg_token" in weights else 0,
        "rope_temperature": config.rope_theta or 100.0,
        "global_pool": "token",
    }


def _dinov2(weights: Weights, _config: _Config) -> tuple[Weights, Values]:
    registers = weights["reg_token"].shape[1] if "reg_token" in weights else 0
    own = {"mlp_ratio": _ratio(weights, "fc1"), "reg_tokens": registers, "no_embed_class": False}
    return weights, own


_FAMILIES = {
    **dict.fromkeys(
        ("clip", "clip_vision_model"),
        _Family(CLIP, "vit_base_patch16_clip_224", 12, "quick_gelu", 1e-5, _clip),
    ),
    **dict.fromkeys(
        ("siglip", "siglip_vision_model"),
        _Family(SIGLIP, "vit_base_patch16_siglip_224", 12, "gelu_pytorch_tanh", 1e-6, _siglip),
    ),
    "dinov3_vit": _Family(DINOV3, "vit_small_patch16_dinov3", 6, "gelu", 1e-5, _dinov3),
}
_DINOV2_GATED = _Family(DINOV2_GATED, "vit_giant_patch14_reg4_dinov2", 12, "silu", 1e-6, _dinov2)
