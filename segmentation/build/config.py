"""A recipe's values on the native config: the one place where a protocol becomes an mmengine Config."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config

import segmentation.model  # noqa: F401 (registers PrefixMAE)
from crossmae.backbone import BackboneSpec, WrappedSpec
from crossmae.errors import UserError
from crossmae.weights.options import IMAGENET_MEAN, IMAGENET_STD
from segmentation.data.layout import ADE20K_CLASSES, image_suffix
from segmentation.recipe import UperNetProtocol
from segmentation.wrapped import WrappedLayerDecay, wrapped_parts

Values = dict[str, Any]

_ACTIVATIONS: dict[str, Values] = {
    "gelu": {"type": "GELU"},
    "gelu_tanh": {"type": "GELU", "approximate": "tanh"},
    "quick_gelu": {"type": "QuickGELU"},
}
"""mmengine's names; the last one is registered by ``segmentation.model``."""

NATIVE = Path(__file__).parents[1] / "configs" / "upernet_vit_b16.py"


def upernet(
    values: UperNetProtocol,
    about: BackboneSpec | WrappedSpec,
    data_root: Path,
    classes: Sequence[str] = (),
    keep_zero: bool = False,
    wrapped: bool = False,
) -> Config:
    """Builds the config of a run on one process, as a user of mmengine would write it.

    Args:
        values: a recipe's protocol.
        about: what the backbone is.
        data_root: folder with ``images`` and ``annotations``.
        classes: names of the data set's classes; needed where they are not ADE20K's 150.
        keep_zero: label 0 is the first class, and not ignored.
        wrapped: whether a plain ViT is wrapped, too, as every other backbone is (``segmentation.wrapped``).

    Raises:
        UserError: the recipe is for a deeper backbone, or mmsegmentation cannot build this one.
    """
    config = Config.fromfile(NATIVE)
    if isinstance(about, BackboneSpec) and not wrapped:
        parts = _native_parts(values, about)
    else:
        parts = wrapped_parts(values, about)
        config.optim_wrapper.constructor = WrappedLayerDecay.__name__
    config.merge_from_dict({"model": _model(values, about, parts), "optim_wrapper": _optimizer(values, about)})
    if about.staged:  # its maps are the pyramid's levels
        del config.model["neck"]
    config.param_scheduler = _schedule(values)
    config.train_cfg.max_iters = values.steps
    config.train_dataloader.batch_size = values.global_batch
    config.train_dataloader.dataset.pipeline = _training_pipeline(config.train_pipeline, values)
    config.val_dataloader.dataset.pipeline[1].scale = values.image_scale
    for loader in (config.train_dataloader, config.val_dataloader):
        loader.dataset.update(_dataset(data_root, values, classes, keep_zero))
        if keep_zero:
            for step in loader.dataset.pipeline:
                if step["type"] == "LoadAnnotations":
                    step["reduce_zero_label"] = False
    config.test_dataloader = config.val_dataloader
    return config


def _check_blocks(values: UperNetProtocol, spec: BackboneSpec) -> None:
    assert values.out_indices is not None
    if max(values.out_indices) >= spec.depth:
        fitting = f"ade20k_upernet_{spec.arch}" if spec.arch else "one with other out_indices"
        raise UserError(
            f"the recipe taps block {max(values.out_indices)}, the backbone has {spec.depth} blocks", f"use {fitting}"
        )


def _model(values: UperNetProtocol, about: BackboneSpec | WrappedSpec, parts: Values) -> Values:
    assert values.classes is not None
    crop = (values.crop, values.crop)
    head = {"num_classes": values.classes}
    return {
        **parts,
        "pretrained": None,
        "data_preprocessor": {"size": crop, **_normalisation(about)},
        "decode_head": {**parts["decode_head"], "channels": values.channels, **head},
        "auxiliary_head": {**parts["auxiliary_head"], "channels": values.aux_channels, **head},
        "test_cfg": {"crop_size": crop, "stride": (values.stride, values.stride)},
    }


def _native_parts(values: UperNetProtocol, spec: BackboneSpec) -> Values:
    _check_blocks(values, spec)
    # mmsegmentation's class has one token before the patches.
    kind = {} if spec.num_prefix == 1 else {"type": "PrefixMAE", "num_prefix": spec.num_prefix}
    backbone = {
        **kind,
        "img_size": (values.crop, values.crop),
        "patch_size": values.patch_size,
        "embed_dims": spec.embed_dim,
        "num_layers": spec.depth,
        "num_heads": spec.num_heads,
        "mlp_ratio": _whole(spec.mlp_ratio),
        "out_indices": list(values.out_indices or ()),
        "drop_path_rate": values.drop_path,
        "init_values": values.layer_scale,
        "norm_cfg": {"eps": spec.norm_eps},
        "act_cfg": _ACTIVATIONS[spec.activation],
    }
    return {
        "backbone": backbone,
        "neck": {"embed_dim": spec.embed_dim},
        "decode_head": {"in_channels": [spec.embed_dim] * 4},
        "auxiliary_head": {"in_channels": spec.embed_dim},
    }


def _normalisation(spec: BackboneSpec | WrappedSpec) -> Values:
    if (spec.mean, spec.std) == (IMAGENET_MEAN, IMAGENET_STD):  # which stand in the file, on the same scale
        return {}
    return {"mean": [255 * value for value in spec.mean], "std": [255 * value for value in spec.std]}


def _whole(mlp_ratio: float) -> int:
    if mlp_ratio != int(mlp_ratio):
        raise UserError(
            f"mmsegmentation's MAE takes whole MLP ratios, this backbone has {mlp_ratio:.3f}", "use another"
        )
    return int(mlp_ratio)


def _optimizer(values: UperNetProtocol, spec: BackboneSpec | WrappedSpec) -> Values:
    return {
        "optimizer": {"lr": values.lr, "weight_decay": values.weight_decay},
        "paramwise_cfg": {"num_layers": spec.depth, "layer_decay_rate": values.layer_decay},
    }


def _schedule(values: UperNetProtocol) -> list[Values]:
    warmup, end = values.warmup_steps, values.steps
    return [
        {"type": "LinearLR", "start_factor": 1e-6, "by_epoch": False, "begin": 0, "end": warmup},
        {"type": "PolyLR", "eta_min": 0.0, "power": 1.0, "begin": warmup, "end": end, "by_epoch": False},
    ]


def _training_pipeline(published: list[Values], values: UperNetProtocol) -> list[Values]:
    """The native pipeline, every step in its place, with the recipe's sizes."""
    changes: dict[str, Values] = {
        "RandomResize": {"scale": values.image_scale, "ratio_range": values.ratio_range},
        "RandomCrop": {"crop_size": (values.crop, values.crop)},
    }
    return [{**step, **changes.get(step["type"], {})} for step in published]


def _dataset(data_root: Path, values: UperNetProtocol, classes: Sequence[str], keep_zero: bool) -> Values:
    if values.classes == ADE20K_CLASSES and not keep_zero:
        return {"data_root": str(data_root)}
    # ADE20KDataset fixes the 150 names; its base class takes everything that it would set.
    return {
        "type": "BaseSegDataset",
        "data_root": str(data_root),
        "metainfo": {"classes": tuple(classes)},
        "img_suffix": image_suffix(len(classes)),
        "reduce_zero_label": not keep_zero,
    }
