"""What a task must know of a model of timm."""

from collections.abc import Mapping
from typing import Any

from crossmae.errors import UserError
from crossmae.weights.options import SourceOptions
from crossmae.wrapped.build import sketch
from crossmae.wrapped.maps import prefix_tokens, strides_and_channels, trained_norm
from crossmae.wrapped.spec import WrappedSpec


def describe_model(model: str, options: Mapping[str, Any], source: str, said: SourceOptions) -> WrappedSpec:
    """What a task must know of timm's ``model`` with these arguments of its constructor.

    Raises:
        UserError: a model without feature maps, or with neither one stride nor those of stages.
    """
    trunk = sketch(model, options)
    if not hasattr(trunk, "forward_intermediates") or not getattr(trunk, "feature_info", None):
        raise UserError(
            f"{source} is a {type(trunk).__name__}, which gives no feature maps", "take another model of timm"
        )
    strides, channels = strides_and_channels(trunk)
    staged = len(set(strides)) > 1
    config = trunk.pretrained_cfg
    return WrappedSpec(
        model=model,
        options=dict(options),
        source=source,
        staged=staged,
        depth=len(strides),
        embed_dim=channels[-1],
        patch_size=max(strides),
        image_size=_image_size(trunk, options, max(strides)),
        class_token=getattr(trunk, "cls_token", None) is not None,
        num_prefix=prefix_tokens(trunk),
        final_norm=any(True for _ in trained_norm(trunk).parameters()),
        mean=said.mean or tuple(config["mean"]),
        std=said.std or tuple(config["std"]),
        interpolation="bilinear" if config.get("interpolation") == "bilinear" else "bicubic",
        pretraining={"method": config.get("tag") or "none", "wrapped": {"model": model, **options}},
    )


def _image_size(trunk: Any, options: Mapping[str, Any], multiple: int) -> int:
    embedding = getattr(trunk, "patch_embed", None)
    size = options.get("img_size") or getattr(embedding, "img_size", None) or trunk.pretrained_cfg["input_size"][1:]
    side = size if isinstance(size, int) else size[0]
    return max(multiple, side // multiple * multiple)
