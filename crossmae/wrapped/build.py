"""The model of a specification with its weights, for images of any size."""

from collections.abc import Mapping
from dataclasses import replace
from inspect import signature
from typing import Any

import timm
import torch
from timm.layers import resample_abs_pos_embed, resample_patch_embed
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from crossmae.errors import UserError, one_line
from crossmae.weights.fit import load_strictly, misfit
from crossmae.weights.spec import BackboneSpec, expected_weights
from crossmae.weights.timm import build_timm
from crossmae.wrapped.maps import strides_and_channels
from crossmae.wrapped.own_code import called, is_own, make
from crossmae.wrapped.spec import WrappedSpec

Size = int | tuple[int, int]
"""Side of square images in pixels, or height and width."""

_LOADING = set(signature(timm.create_model).parameters) | {"num_classes"}
"""Arguments that are not the model's but say what ``create_model`` is to load."""

_BORN_WITH_A_SIZE = ("Hiera", "SwinTransformer", "SwinTransformerV2")
"""Classes that take it when they are made and not later: Swin's windows would grow with it."""


def create(model: str, options: Mapping[str, Any]) -> Any:
    """timm's model with initial weights and no head, or what the user's own function makes.

    Raises:
        UserError: no model of timm's own, its constructor refuses the options, or code that the user has not named.
    """
    if is_own(model):
        return make(model, options)
    if not timm.is_model(model) or _LOADING & options.keys():
        raise UserError(f"timm has no model {model!r} with {', '.join(options) or 'its own options'}")
    try:
        return timm.create_model(model, pretrained=False, num_classes=0, **options)
    except (TypeError, ValueError, ArithmeticError, AssertionError, RuntimeError) as error:
        raise UserError(f"timm does not build {model} with {dict(options)} ({one_line(error, 160)})") from error


def sketch(model: str, options: Mapping[str, Any]) -> Any:
    """The same without storage: names and shapes only."""
    with torch.device("meta"):
        return create(model, options)


def build(
    weights: Mapping[str, Tensor],
    spec: WrappedSpec,
    image_size: Size | None = None,
    patch_size: int | None = None,
    drop_path: float = 0.0,
) -> Any:
    """The model with ``weights``; with initial ones if there are none.

    Args:
        image_size: position embeddings are resized by timm's rule if it is not the model's own.
        patch_size: of a plain ViT; the kernel is resized so that smooth patches have the same response (FlexiViT).

    Raises:
        UserError: the model has no such size, no drop path, or the weights do not fit.
    """
    options = {**spec.options, **({"drop_path_rate": drop_path} if drop_path else {})}
    patch = patch_size or spec.patch_size
    size = require_whole_patches(image_size or spec.image_size, spec, patch)
    if patch != spec.patch_size and spec.staged:
        raise UserError(f"{spec.source} has stages and no patch size that could be {patch}", "leave patch_size out")
    plan = sketch(spec.model, spec.options)
    # Before anything of the size that a file says is made.
    if weights and (complaint := misfit(plan.state_dict(), weights)):
        raise UserError(f"{spec.source} does not fit {called(spec.model)}: {complaint}")
    kind = type(plan).__name__
    if kind in _BORN_WITH_A_SIZE:
        options["img_size"] = size
    model = create(spec.model, options)
    if weights:
        load_strictly(model, _with_positions(weights, model) if kind == "Hiera" else weights, spec.source)
    if kind not in _BORN_WITH_A_SIZE and hasattr(model, "set_input_size"):
        resized = {} if patch == spec.patch_size else {"patch_size": (patch, patch)}
        model.set_input_size(img_size=size, **resized)
    if patch != spec.patch_size and (stride := strides_and_channels(model)[0][-1]) != patch:
        raise UserError(
            f"{spec.source} has patches of {stride} pixels that timm cannot resize", f"set patch_size to {stride}"
        )
    return model


def build_plain(
    weights: Mapping[str, Tensor],
    spec: BackboneSpec,
    image_size: Size,
    patch_size: int | None = None,
    drop_path: float = 0.0,
) -> VisionTransformer:
    """A plain vision transformer as timm's model; arguments and error as those of ``build``."""
    patch = patch_size or spec.patch_size
    size = require_whole_patches(image_size, spec, patch)
    if weights and patch != spec.patch_size:
        kernel = resample_patch_embed(weights["patch_embed.proj.weight"].float(), [patch, patch])
        weights = {**weights, "patch_embed.proj.weight": kernel}
    return build_timm(weights, replace(spec, patch_size=patch), 0, size, drop_path)


def _with_positions(weights: Mapping[str, Tensor], model: Any) -> Mapping[str, Tensor]:
    """Hiera's position embeddings of every token at stride 4, for another size; those of windows stay as they are."""
    given, place = weights.get("pos_embed"), model.state_dict().get("pos_embed")
    if given is None or place is None or given.shape == place.shape or given.ndim != 3:
        return weights
    rows, columns = model.tokens_spatial_shape
    return {**weights, "pos_embed": resample_abs_pos_embed(given, [rows, columns], num_prefix_tokens=0)}


def require_no_larger(about: BackboneSpec | WrappedSpec, weights: Mapping[str, Tensor], source: str) -> None:
    """Refuses a specification out of a file whose model is larger than the file's weights.

    Raises:
        UserError: it is, so that a small file would fill the memory.
    """
    try:
        places = (
            expected_weights(about)
            if isinstance(about, BackboneSpec)
            else sketch(about.model, about.options).state_dict()
        )
    except (RuntimeError, OverflowError, TypeError) as error:  # sizes that no tensor can have
        raise UserError(f"{source} describes sizes that no weights have ({one_line(error, 80)})") from error
    need = sum(tensor.numel() for tensor in places.values())
    there = sum(tensor.numel() for tensor in weights.values())
    if need > 2 * there + 1_000_000:  # position embeddings may be those of larger images
        raise UserError(f"{source} describes a model of {need:,} weights and holds {there:,}", "take the whole file")


def require_whole_patches(
    size: Size, spec: BackboneSpec | WrappedSpec, patch_size: int | None = None
) -> tuple[int, int]:
    """Height and width of images of ``size``.

    Raises:
        UserError: patches do not cover them; timm would leave out rows of pixels without a word.
    """
    height, width = (size, size) if isinstance(size, int) else size
    patch = patch_size or spec.patch_size
    for side in (height, width):
        if side % patch:
            near = sorted({max(1, side // patch) * patch, (side // patch + 1) * patch})
            raise UserError(
                f"image_size {side} is no multiple of {spec.source}'s patches of {patch} pixels",
                f"set image_size to {' or '.join(map(str, near))}",
            )
    return height, width
