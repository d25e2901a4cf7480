"""What a task must know of a model of timm, or of one with timm's interface for features."""

from collections.abc import Mapping
from typing import Any

from crossmae.errors import UserError
from crossmae.weights.options import SourceOptions
from crossmae.wrapped.build import sketch
from crossmae.wrapped.maps import prefix_tokens, strides_and_channels, trained_norm
from crossmae.wrapped.own_code import digest_of, is_own
from crossmae.wrapped.spec import WrappedSpec


def describe_model(model: str, options: Mapping[str, Any], source: str, said: SourceOptions) -> WrappedSpec:
    """What a task must know of ``model`` with these arguments of its constructor.

    Raises:
        UserError: a model without feature maps, with neither one stride nor those of stages, or one that does not say
            how its images are normalised or how large they are.
    """
    trunk = sketch(model, options)
    if not hasattr(trunk, "forward_intermediates") or not getattr(trunk, "feature_info", None):
        raise UserError(
            f"{source} is a {type(trunk).__name__}, which gives no feature maps", "take a model with timm's interface"
        )
    strides, channels = strides_and_channels(trunk)
    staged = len(set(strides)) > 1
    config = getattr(trunk, "pretrained_cfg", {})
    return WrappedSpec(
        model=model,
        options=dict(options),
        source=source,
        staged=staged,
        depth=len(strides),
        embed_dim=channels[-1],
        patch_size=max(strides),
        image_size=_image_size(trunk, options, said, max(strides)),
        class_token=getattr(trunk, "cls_token", None) is not None,
        num_prefix=prefix_tokens(trunk),
        final_norm=any(True for _ in trained_norm(trunk).parameters()),
        mean=tuple(_said(said.mean or config.get("mean"), "mean", source)),
        std=tuple(_said(said.std or config.get("std"), "std", source)),
        interpolation="bilinear" if config.get("interpolation") == "bilinear" else "bicubic",
        pretraining={"method": config.get("tag") or "none", "wrapped": {"model": model, **options}},
        code=digest_of(model) if is_own(model) else None,
    )


def _said(value: Any, name: str, source: str) -> Any:
    if value is None:
        raise UserError(f"{source} does not say the {name} of its images", f"write ?{name}=RED,GREEN,BLUE behind it")
    return value


def _image_size(trunk: Any, options: Mapping[str, Any], said: SourceOptions, multiple: int) -> int:
    embedding = getattr(trunk, "patch_embed", None)
    size = options.get("img_size") or said.image_size or getattr(embedding, "img_size", None)
    size = size or getattr(trunk, "pretrained_cfg", {}).get("input_size", (0,))[1:]
    if not size:
        raise UserError("its images have no size that it says", "write ?image_size=SIDE behind it")
    side = size if isinstance(size, int) else size[0]
    return max(multiple, side // multiple * multiple)
