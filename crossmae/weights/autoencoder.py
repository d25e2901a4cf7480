"""Whole autoencoders: their configuration read off their weights, and the model built of both."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from crossmae.errors import UserError
from crossmae.model.autoencoder import MaskedAutoencoder
from crossmae.model.config import MAEConfig
from crossmae.model.presets import arch_of, preset_config
from crossmae.parsing import parse, parse_json
from crossmae.weights.files import OPTIONS, WeightFile, Weights, part_of
from crossmae.weights.fit import require_fit
from crossmae.weights.layouts.released import from_arguments, from_official
from crossmae.weights.spec import count_blocks

_DIMENSIONS = {
    "encoder.patch_embed.proj.weight": 4,
    "decoder.pred.weight": 2,
    "decoder.pos_embed": 3,
    "encoder.pos_embed": 3,
}
"""Weights that every masked autoencoder has, and how many dimensions they have."""


@dataclass(frozen=True)
class AutoencoderWeights:
    """Weights of an autoencoder under our names, and the options (named as in MAEConfig) that came with them."""

    weights: Weights
    options: dict[str, Any] = field(default_factory=dict)


def autoencoder_in(file: WeightFile) -> AutoencoderWeights:
    """The autoencoder whose weights have the released names in ``file``.

    Raises:
        UserError: options of ours in the file that cannot be read.
    """
    # Files of reference numerics keep the weights under weights/, next to inputs and gradients.
    weights = part_of(file.weights, "weights/") or file.weights
    return AutoencoderWeights(from_official(weights), _options(file))


def build_autoencoder(config: MAEConfig, weights: Mapping[str, Tensor], source: str) -> MaskedAutoencoder:
    """An autoencoder of ``weights``, which it takes over instead of copying, in float32.

    Raises:
        UserError: as ``load_strictly``.
    """
    _require(weights)
    measured = _dimensions(weights)
    differing = [name for name in measured if getattr(config, name) != measured[name]]
    if differing:
        wrong = ", ".join(f"{name} {getattr(config, name)} for {measured[name]}" for name in differing)
        raise UserError(f"{source} does not fit its configuration: {wrong}")
    # Without storage no initial weights are drawn, which for ViT-H takes longer than reading the file.
    with torch.device("meta"):
        model = MaskedAutoencoder(config)
    require_fit(model, weights, source)
    model.load_state_dict({name: tensor.float() for name, tensor in weights.items()}, assign=True)
    return model


def infer_config(weights: Mapping[str, Tensor], given: Mapping[str, Any]) -> MAEConfig:
    """Reads dimensions and kind of decoder off ``weights`` (our names) and takes the rest from ``given``.

    Args:
        given: options named as in MAEConfig; None stands for not given. They win over what the weights suggest.

    Raises:
        UserError: an option that must be given, an unknown option, or one that contradicts the weights.
    """
    _require(weights)
    given = {name: value for name, value in given.items() if value is not None}
    options = {**_dimensions(weights), "decoder": _decoder(weights)}
    options |= _heads(options)
    options |= _mixing(weights, options["depth"], given)
    options |= given
    _require_given(options)
    return MAEConfig.from_dict(options)


def _dimensions(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    embed_dim, _, patch_size, _ = weights["encoder.patch_embed.proj.weight"].shape
    grid = round((weights["encoder.pos_embed"].shape[1] - 1) ** 0.5)
    return {
        "image_size": grid * patch_size,
        "patch_size": patch_size,
        "embed_dim": embed_dim,
        "depth": count_blocks(weights, "encoder.blocks."),
        "decoder_embed_dim": weights["decoder.pos_embed"].shape[2],
        "decoder_depth": count_blocks(weights, "decoder.blocks."),
    }


def _heads(dimensions: Mapping[str, Any]) -> dict[str, Any]:
    """Heads of the preset with these dimensions, if there is one."""
    arch = arch_of(dimensions["embed_dim"], dimensions["depth"], dimensions["patch_size"])
    if arch is None or preset_config(arch).decoder_embed_dim != dimensions["decoder_embed_dim"]:
        return {}
    return {name: getattr(preset_config(arch), name) for name in ("num_heads", "decoder_num_heads")}


def _decoder(weights: Mapping[str, Tensor]) -> str:
    if "decoder.blocks.0.cross_attn.q.weight" not in weights:
        return "self"
    return "cross+self" if "decoder.blocks.0.norm0.weight" in weights else "cross"


def _mixing(weights: Mapping[str, Tensor], depth: int, options: Mapping[str, Any]) -> dict[str, Any]:
    """Which maps are mixed, as far as their number tells."""
    mixing = weights.get("decoder.mixing.weight")
    if mixing is None:
        return {"feature_maps": "last", "use_input": False}
    if mixing.ndim != 2:
        raise UserError(f"decoder.mixing.weight has {mixing.ndim} dimensions instead of 2")
    maps = mixing.shape[1]
    wanted = options.get("feature_maps")
    projection = {"map_projection": "decoder.mixing.projections.0.weight" in weights}
    if maps == depth + 1:
        return projection | {"feature_maps": "all", "use_input": True}
    if wanted is None:
        raise _cannot_tell(f"which {maps} feature maps are mixed", "feature_maps")
    named = len(wanted) if isinstance(wanted, list | tuple) else depth
    if wanted == "last" or maps - named not in (0, 1) or options.get("use_input") not in (None, maps > named):
        raise UserError(f"feature_maps {wanted!r} and use_input {options.get('use_input')} do not make {maps} maps")
    return projection | {"use_input": maps > named}


def _require_given(options: Mapping[str, Any]) -> None:
    needed = ["num_heads", "decoder_num_heads", "mask_ratio", "norm_pix_loss"]
    if options["decoder"] != "self":
        needed.append("prediction_ratio")
    if missing := [name for name in needed if name not in options]:
        raise _cannot_tell(", ".join(missing), "=..., ".join(missing))


def _require(weights: Mapping[str, Tensor]) -> None:
    if missing := [name for name, dims in _DIMENSIONS.items() if not _has(weights, name, dims)]:
        raise UserError(f"these are not the weights of a masked autoencoder: no {', '.join(missing)}")


def _has(weights: Mapping[str, Tensor], name: str, dimensions: int) -> bool:
    return name in weights and weights[name].ndim == dimensions and weights[name].numel() > 0


def _cannot_tell(what: str, names: str) -> UserError:
    return UserError(f"the weights cannot tell {what}", f"give it (load_pretrained(..., {names}=...))")


def _options(file: WeightFile) -> dict[str, Any]:
    ours = file.arguments.get(OPTIONS)
    if ours is None:
        return from_arguments(file.arguments)
    where = f"{OPTIONS} in the weight file"
    options: dict[str, Any] = parse_json(dict, ours, where) if isinstance(ours, str) else parse(dict, ours, where)
    return options
