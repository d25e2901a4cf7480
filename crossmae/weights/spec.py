"""What a plain vision transformer is, the names and shapes of its weights, and what a user says otherwise."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from crossmae.errors import UserError, one_line
from crossmae.model.blocks import NORM_EPS
from crossmae.model.positions import resize_pos_embed
from crossmae.parsing import Count, CountOrZero, Positive, Strict
from crossmae.weights.files import Weights
from crossmae.weights.fit import misfit
from crossmae.weights.options import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    RGB,
    Activation,
    Interpolation,
    SourceOptions,
)

FINAL_NORM = ("norm.weight", "norm.bias")


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
    return {**weights, FINAL_NORM[0]: torch.ones(spec.embed_dim), FINAL_NORM[1]: torch.zeros(spec.embed_dim)}


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
        shapes |= dict.fromkeys(FINAL_NORM, (dim,))
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
