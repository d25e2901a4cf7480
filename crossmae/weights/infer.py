"""The configuration of an autoencoder read off its weights; what they cannot tell must be given."""

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from crossmae.errors import UserError
from crossmae.model.config import MAEConfig
from crossmae.model.presets import arch_of, preset_config

_UNREADABLE = "the weights cannot tell {}; give it (load_pretrained(..., {}=...))"


def infer_config(weights: Mapping[str, Tensor], given: Mapping[str, Any]) -> MAEConfig:
    """Reads dimensions and kind of decoder off ``weights`` (our names) and takes the rest from ``given``.

    Args:
        given: options named as in MAEConfig; None stands for not given. They win over what the weights suggest.

    Raises:
        UserError: an option that must be given, an unknown option, or one that contradicts the weights.
    """
    _require(
        weights, "encoder.patch_embed.proj.weight", "decoder.pred.weight", "decoder.pos_embed", "encoder.pos_embed"
    )
    told = {name: value for name, value in given.items() if value is not None}
    options = {**_dimensions(weights), "decoder": _decoder(weights)}
    options |= _heads(options)
    options |= _mixing(weights, {**options, **told})
    options |= told
    _require_told(options)
    return MAEConfig.from_dict(options)


def count_blocks(weights: Mapping[str, Tensor], prefix: str) -> int:
    """Number of blocks ``<prefix>N.`` among the names of ``weights``."""
    pattern = re.compile(re.escape(prefix) + r"(\d+)\.")
    return 1 + max((int(match[1]) for name in weights if (match := pattern.match(name))), default=-1)


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


def _mixing(weights: Mapping[str, Tensor], options: Mapping[str, Any]) -> dict[str, Any]:
    """Which maps are mixed, as far as their number tells."""
    mixing = weights.get("decoder.mixing.weight")
    if mixing is None:
        return {"feature_maps": "last", "use_input": False}
    maps, depth = mixing.shape[1], options["depth"]
    told = options.get("feature_maps")
    found = {"map_projection": "decoder.mixing.projections.0.weight" in weights}
    if maps == depth + 1:
        return found | {"feature_maps": "all", "use_input": True}
    if told is None:
        raise UserError(_UNREADABLE.format(f"which {maps} feature maps are mixed", "feature_maps"))
    named = depth if told == "all" else len(told)
    if told == "last" or maps - named not in (0, 1) or options.get("use_input") not in (None, maps > named):
        raise UserError(f"feature_maps {told!r} and use_input {options.get('use_input')} do not make {maps} maps")
    return found | {"use_input": maps > named}


def _require_told(options: Mapping[str, Any]) -> None:
    needed = ["num_heads", "decoder_num_heads", "mask_ratio", "norm_pix_loss"]
    if options["decoder"] != "self":
        needed.append("prediction_ratio")
    if missing := [name for name in needed if name not in options]:
        raise UserError(_UNREADABLE.format(", ".join(missing), "=..., ".join(missing)))


def _require(weights: Mapping[str, Tensor], *names: str) -> None:
    if missing := [name for name in names if name not in weights]:
        raise UserError(f"these are not the weights of a masked autoencoder: no {', '.join(missing)}")
