"""The specification of a plain vision transformer, read off its weights."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from crossmae.errors import UserError
from crossmae.model.blocks import NORM_EPS
from crossmae.model.presets import PRESETS, arch_of
from crossmae.run.rank import is_main
from crossmae.weights.files import Weights
from crossmae.weights.options import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    OTHERWISE,
    SourceOptions,
    with_option,
)
from crossmae.weights.spec import FINAL_NORM, BackboneSpec, count_blocks, expected_weights, require_described

log = logging.getLogger("crossmae")

MAES = SourceOptions(act="gelu", eps=NORM_EPS, mean=IMAGENET_MEAN, std=IMAGENET_STD)
"""What every model of CrossMAE's and MAE's code has in common."""

_HEADS = {(768, 12): 12, (1024, 24): 16, (1280, 32): 16}
"""By width and depth, whatever the patches: ViT-B, L and H."""

_FIRST = "blocks.0.mlp.fc1.weight"

_DIMENSIONS = {
    "patch_embed.proj.weight": 4,
    "pos_embed": 3,
    "reg_token": 3,
    _FIRST: 2,
    "blocks.0.mlp.fc2.weight": 2,
}
"""Weights that a specification is read off, and how many dimensions they have."""


def describe(
    weights: Mapping[str, Tensor],
    source: str,
    said: SourceOptions | None = None,
    pretraining: Mapping[str, Any] | None = None,
) -> tuple[Weights, BackboneSpec]:
    """Weights with complete position embeddings, and their specification.

    Args:
        weights: timm names.
        said: what the weights do not show and a configuration or the user says. The rest is assumed, which is logged
            and stands under ``assumed`` in the specification's ``pretraining``.

    Raises:
        UserError: no plain vision transformer, or an unknown number of heads.
    """
    read = {name: weights[name] for name in _DIMENSIONS if name in weights}
    odd = any(tensor.ndim != _DIMENSIONS[name] or not tensor.numel() for name, tensor in read.items())
    if odd or not {"patch_embed.proj.weight", "pos_embed"} <= set(weights):
        lacking = "no patch_embed.proj.weight or no pos_embed"
        raise UserError(f"{source} holds no plain vision transformer ({lacking})", OTHERWISE)
    _refuse_gates(weights, source)
    if len(widths := {weights[name].shape[-1] for name in ("pos_embed", "reg_token") if name in weights}) > 1:
        raise UserError(f"{source} holds no plain vision transformer (widths {widths})", OTHERWISE)
    spec = _read(weights, source, said or SourceOptions(), dict(pretraining or {}))
    complete = {**weights, "pos_embed": _with_prefix(weights["pos_embed"], spec.num_prefix)}
    spec = replace(spec, image_size=_side(complete["pos_embed"].shape[1] - spec.num_prefix, source) * spec.patch_size)
    require_described(complete, spec, source)
    return complete, spec


def is_plain(weights: Mapping[str, Tensor]) -> bool:
    """Whether ``weights``, with or without storage, have the names and shapes of a plain vision transformer's."""
    try:
        spec = _read(weights, "", SourceOptions(heads=1).over(MAES), {})
        positions = _with_prefix(weights["pos_embed"], spec.num_prefix)
        side = _side(positions.shape[1] - spec.num_prefix, "")
    except (KeyError, ValueError, UserError):
        return False
    expected = expected_weights(replace(spec, image_size=side * spec.patch_size))
    given = {**weights, "pos_embed": positions}
    return {name: tensor.shape for name, tensor in given.items()} == {n: t.shape for n, t in expected.items()}


def _read(weights: Mapping[str, Tensor], source: str, said: SourceOptions, pretraining: dict[str, Any]) -> BackboneSpec:
    embed_dim, _, _, patch_size = weights["patch_embed.proj.weight"].shape
    depth = count_blocks(weights, "blocks.")
    known = said.over(_assumed(embed_dim, depth, patch_size, source, said))
    assert known.heads is not None
    assert known.act is not None
    assert known.eps is not None
    assert known.mean is not None
    assert known.std is not None
    if assumed := {name: value for name, value in known.given().items() if name not in said.given()}:
        pretraining["assumed"] = assumed
        _log_assumed(source, assumed)
    final_norm = FINAL_NORM[0] in weights
    return BackboneSpec(
        arch=arch_of(embed_dim, depth, patch_size),
        embed_dim=embed_dim,
        depth=depth,
        num_heads=known.heads,
        patch_size=patch_size,
        image_size=0,
        mlp_ratio=weights[_FIRST].shape[0] / embed_dim if _FIRST in weights else 4.0,
        class_token="cls_token" in weights,
        num_registers=weights["reg_token"].shape[1] if "reg_token" in weights else 0,
        final_norm=final_norm,
        layer_scale="blocks.0.ls1.gamma" in weights,
        source=source,
        pretraining=pretraining,
        missing=() if final_norm else FINAL_NORM,
        activation=known.act,
        norm_eps=known.eps,
        mean=known.mean,
        std=known.std,
    )


def _assumed(embed_dim: int, depth: int, patch_size: int, source: str, said: SourceOptions) -> SourceOptions:
    """The rule where nothing is said: heads as in every ViT of this width, the rest as MAE has it."""
    heads = None if said.heads else _heads(embed_dim, depth, patch_size, source)
    return replace(MAES, heads=heads)


def _heads(embed_dim: int, depth: int, patch_size: int, source: str) -> int:
    if embed_dim == 384:
        six, twelve = (with_option(source, f"heads={heads}") for heads in (6, 12))
        raise UserError(
            f"{source} does not say how many attention heads it has; ViTs of width 384 have 6 (DeiT, DINO, CrossMAE) "
            "or 12 (MoCo v3)",
            f"write {six} or {twelve}",
        )
    arch = arch_of(embed_dim, depth, patch_size)
    heads = PRESETS[arch]["num_heads"] if arch else _HEADS.get((embed_dim, depth))
    if heads is None:
        raise UserError(
            f"{source} does not say how many attention heads it has", f"write {with_option(source, 'heads=NUMBER')}"
        )
    return int(heads)


def _log_assumed(source: str, assumed: Mapping[str, Any]) -> None:
    if is_main():
        values = ", ".join(f"{name} {value}" for name, value in assumed.items())
        log.warning("%s does not say these, they are assumed: %s; %s", source, values, "?NAME=VALUE changes one")


def _refuse_gates(weights: Mapping[str, Tensor], source: str) -> None:
    """SwiGLU has twice as many inputs to its gate as to its second layer, or a layer of its own for each half."""
    first, second = (weights.get(f"blocks.0.mlp.{layer}.weight") for layer in ("fc1", "fc2"))
    packed = first is not None and second is not None and first.shape[0] == 2 * second.shape[1]
    if packed or any(name.startswith(("blocks.0.mlp.fc1_g.", "blocks.0.mlp.w12.")) for name in weights):
        raise UserError(f"{source} has gated MLPs (SwiGLU), so it is no plain vision transformer", OTHERWISE)


def _with_prefix(pos_embed: Tensor, num_prefix: int) -> Tensor:
    """A row of zeros for every prefix token of models that give positions to patches only."""
    length = pos_embed.shape[1]
    if num_prefix == 0 or round(length**0.5) ** 2 != length:
        return pos_embed
    return torch.cat([pos_embed.new_zeros(1, num_prefix, pos_embed.shape[2]), pos_embed], dim=1)


def _side(patches: int, source: str) -> int:
    side = round(max(patches, 0) ** 0.5)
    if side**2 != patches:
        raise UserError(f"{source}: {patches} patch positions are no square grid")
    return side
