"""What a plain vision transformer is and where it comes from, read off its weights."""

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from crossmae.errors import UserError, one_line
from crossmae.model.blocks import NORM_EPS
from crossmae.model.positions import resize_pos_embed
from crossmae.model.presets import PRESETS, arch_of
from crossmae.parsing import Count, CountOrZero, Positive, Strict
from crossmae.run.rank import is_main
from crossmae.weights.files import Weights
from crossmae.weights.fit import misfit
from crossmae.weights.options import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    RGB,
    Activation,
    Interpolation,
    SourceOptions,
    with_option,
)

log = logging.getLogger("crossmae")

MAES = SourceOptions(act="gelu", eps=NORM_EPS, mean=IMAGENET_MEAN, std=IMAGENET_STD)
"""What every model of CrossMAE's and MAE's code has in common."""

_HEADS = {(768, 12): 12, (1024, 24): 16, (1280, 32): 16}
"""By width and depth, whatever the patches: ViT-B, L and H."""

_NORM = ("norm.weight", "norm.bias")

_FIRST = "blocks.0.mlp.fc1.weight"

_DIMENSIONS = {
    "patch_embed.proj.weight": 4,
    "pos_embed": 3,
    "reg_token": 3,
    _FIRST: 2,
    "blocks.0.mlp.fc2.weight": 2,
}
"""Weights that a specification is read off, and how many dimensions they have."""


@dataclass(frozen=True)
class BackboneSpec(Strict):
    """What a vision transformer is and where it comes from."""

    arch: str | None
    """Preset with these dimensions (``vit_b16``, ...), if there is one."""
    embed_dim: Count
    depth: CountOrZero
    num_heads: Count
    patch_size: Count
    image_size: CountOrZero
    """Side in pixels of the images that the position embeddings are made for."""
    mlp_ratio: Positive
    class_token: bool
    num_registers: CountOrZero
    final_norm: bool
    """Whether there is a norm after the last block; CrossMAE's weights have none."""
    layer_scale: bool
    source: str
    pretraining: dict[str, Any] = field(default_factory=dict)
    """How the weights were made, as far as the source says."""
    missing: tuple[str, ...] = ()
    """timm names that the weights lack: the final norm of CrossMAE's."""
    activation: Activation = "gelu"
    norm_eps: Positive = NORM_EPS
    """Epsilon of all norms."""
    mean: RGB = IMAGENET_MEAN
    """What is taken off pixels in the unit range before they go in."""
    std: RGB = IMAGENET_STD
    """What they are divided by then."""

    @property
    def num_prefix(self) -> int:
        """Tokens before the patches: class token and registers."""
        return int(self.class_token) + self.num_registers

    @property
    def grid(self) -> int:
        """Patches along one side of ``image_size``."""
        return self.image_size // self.patch_size

    @property
    def staged(self) -> bool:
        """Whether its maps have several strides."""
        return False

    @property
    def interpolation(self) -> Interpolation:
        """By which images are resized."""
        return "bicubic"

    @property
    def function(self) -> list[Any]:
        """What decides next to the weights what the model computes."""
        return [self.num_heads, self.activation, self.norm_eps]


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
        raise UserError(f"{source} holds no vision transformer ({lacking})", "give weights of a plain ViT")
    _refuse_gates(weights, source)
    if len(widths := {weights[name].shape[-1] for name in ("pos_embed", "reg_token") if name in weights}) > 1:
        raise UserError(f"{source} holds no vision transformer (widths {widths})", "give weights of a plain ViT")
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


def require_described(weights: Mapping[str, Tensor], spec: BackboneSpec, source: str) -> None:
    """Refuses weights that are not those of ``spec``, whatever numbers a file gives in it.

    Raises:
        UserError: one line that says what differs.
    """
    kernel = weights.get("patch_embed.proj.weight")
    # Compared before anything of the specification's size is made.
    measured = {
        "depth": count_blocks(weights, "blocks."),
        "embed_dim": 0 if kernel is None or not kernel.ndim else kernel.shape[0],
        "patch_size": 0 if kernel is None or not kernel.ndim else kernel.shape[-1],
    }
    differing = [name for name, size in measured.items() if getattr(spec, name) != size]
    if differing:
        wrong = ", ".join(f"{name} {getattr(spec, name)} for {measured[name]}" for name in differing)
        raise UserError(f"{source} describes other weights than it holds ({wrong})")
    heads: object = spec.num_heads  # of a file's options
    if not isinstance(heads, int) or heads < 1 or spec.embed_dim % heads:
        raise UserError(f"{source}: {heads!r} heads do not divide the width {spec.embed_dim}", "give ?heads=NUMBER")
    try:
        expected = expected_weights(spec)
    except (RuntimeError, OverflowError, TypeError) as error:  # sizes that no tensor can have
        raise UserError(f"{source} describes sizes that no weights have ({one_line(error, 80)})") from error
    if complaint := misfit(expected, weights):
        raise UserError(f"{source} is no plain vision transformer: {complaint}")


def stated(weights: Weights, spec: BackboneSpec, said: SourceOptions) -> tuple[Weights, BackboneSpec]:
    """The backbone with what the user says in place of what the specification says, resized to ``image_size``.

    Raises:
        UserError: a number of heads or an image size that cannot be.
    """
    heads = said.heads or spec.num_heads
    if spec.embed_dim % heads:
        raise UserError(f"{spec.source}: {heads} heads do not divide the width {spec.embed_dim}")
    changed = replace(
        spec,
        num_heads=heads,
        activation=said.act or spec.activation,
        norm_eps=said.eps or spec.norm_eps,
        mean=said.mean or spec.mean,
        std=said.std or spec.std,
    )
    if said.image_size is None:
        return weights, changed
    if said.image_size % spec.patch_size:
        raise UserError(f"{spec.source}: image_size is no multiple of its patches of {spec.patch_size} pixels")
    positions = resize_pos_embed(weights["pos_embed"], said.image_size // spec.patch_size, spec.num_prefix)
    return {**weights, "pos_embed": positions}, replace(changed, image_size=said.image_size)


def with_final_norm(weights: Mapping[str, Tensor], spec: BackboneSpec) -> Weights:
    """The weights with an initial final norm if they have none, for libraries whose models always apply one."""
    if spec.final_norm:
        return dict(weights)
    return {**weights, _NORM[0]: torch.ones(spec.embed_dim), _NORM[1]: torch.zeros(spec.embed_dim)}


def count_blocks(weights: Mapping[str, Tensor], prefix: str) -> int:
    """Number of blocks ``<prefix>N.`` among the names of ``weights``.

    Raises:
        UserError: there are fewer weights than blocks, so that a small file would fill the memory.
    """
    pattern = re.compile(re.escape(prefix) + r"([0-9]{1,9})\.")
    last = max((int(match[1]) for name in weights if (match := pattern.match(name))), default=-1)
    if last >= len(weights):
        raise UserError(f"there is a block {last} among {len(weights)} weights", "take a file with all blocks")
    return 1 + last


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
    final_norm = _NORM[0] in weights
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
        missing=() if final_norm else _NORM,
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
        raise UserError(f"{source} has gated MLPs (SwiGLU), which no task can take", "use a ViT with plain MLPs")


def expected_weights(spec: BackboneSpec) -> Weights:
    """Names and shapes of all weights of such a transformer."""
    dim, hidden = spec.embed_dim, round(spec.embed_dim * spec.mlp_ratio)
    shapes: dict[str, tuple[int, ...]] = {
        "pos_embed": (1, spec.num_prefix + spec.grid**2, dim),
        "patch_embed.proj.weight": (dim, 3, spec.patch_size, spec.patch_size),
        "patch_embed.proj.bias": (dim,),
    }
    if spec.class_token:
        shapes["cls_token"] = (1, 1, dim)
    if spec.num_registers:
        shapes["reg_token"] = (1, spec.num_registers, dim)
    if spec.final_norm:
        shapes |= dict.fromkeys(_NORM, (dim,))
    for index in range(spec.depth):
        block = _linear("attn.qkv", 3 * dim, dim) | _linear("attn.proj", dim, dim)
        block |= _linear("mlp.fc1", hidden, dim) | _linear("mlp.fc2", dim, hidden)
        block |= {f"{norm}.{kind}": (dim,) for norm in ("norm1", "norm2") for kind in ("weight", "bias")}
        if spec.layer_scale:
            block |= {"ls1.gamma": (dim,), "ls2.gamma": (dim,)}
        shapes |= {f"blocks.{index}.{name}": shape for name, shape in block.items()}
    return {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}


def _linear(name: str, outputs: int, inputs: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


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
