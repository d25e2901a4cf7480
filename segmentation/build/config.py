"""A recipe's values on the native config: the one place where a protocol becomes an mmengine Config."""

from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config

import segmentation.model  # noqa: F401 (registers PrefixMAE)
from crossmae.backbone import BackboneSpec, WrappedSpec
from crossmae.errors import UserError
from segmentation.build.common import NATIVE, Values, fit_config
from segmentation.data.layout import loader_values
from segmentation.recipe import UperNetProtocol
from segmentation.wrapped import WrappedLayerDecay, wrapped_parts

_ACTIVATIONS: dict[str, Values] = {
    "gelu": {"type": "GELU"},
    "gelu_tanh": {"type": "GELU", "approximate": "tanh"},
    "quick_gelu": {"type": "QuickGELU"},
}
"""mmengine's names; the last one is registered by ``segmentation.model``."""


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
    config.merge_from_dict({"model": _model(values, parts), "optim_wrapper": _optimizer(values, about)})
    if about.staged:  # its maps are the pyramid's levels
        del config.model["neck"]
    config.param_scheduler = _schedule(values)
    dataset = loader_values(data_root, values.classes, classes, keep_zero)
    fit_config(config, values, about, dataset, dataset, keep_zero)
    return config


def _check_blocks(values: UperNetProtocol, spec: BackboneSpec) -> None:
    assert values.out_indices is not None
    if max(values.out_indices) >= spec.depth:
        fitting = f"ade20k_upernet_{spec.arch}" if spec.arch else "one with other out_indices"
        raise UserError(
            f"the recipe taps block {max(values.out_indices)}, the backbone has {spec.depth} blocks", f"use {fitting}"
        )


def _model(values: UperNetProtocol, parts: Values) -> Values:
    head = {"num_classes": values.classes}
    return {
        **parts,
        "decode_head": {**parts["decode_head"], "channels": values.channels, **head},
        "auxiliary_head": {**parts["auxiliary_head"], "channels": values.aux_channels, **head},
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
