"""From a linear probe's recipe, a backbone and a data set to mmengine's native configuration."""

from mmengine.config import Config

import segmentation.linear.model  # noqa: F401 (registers FrozenMap and BatchNormHead)
from crossmae.backbone import BackboneSpec, WrappedSpec
from crossmae.data.decode import allow_known_formats_only
from crossmae.errors import UserError
from crossmae.wrapped.spec import written
from segmentation.build.common import NATIVE, Values, fit_config
from segmentation.build.prepare import prepare
from segmentation.data.reader import Loaders, SegmentationSet
from segmentation.linear.recipe import LinearProtocol, LinearRecipe
from transfer.task import Context


def configure(
    about: BackboneSpec | WrappedSpec, recipe: LinearRecipe, data: SegmentationSet, context: Context
) -> Config:
    """Builds the mmengine config of a run, and notes on ``context`` what departs from the published protocol.

    Raises:
        UserError: the recipe fits neither backbone, data nor number of processes.
    """
    assert context.data_root is not None
    assert recipe.protocol.classes is not None
    loaders = data.loaders(context.data_root, recipe.protocol.classes)
    allow_known_formats_only()
    config = linear(recipe.protocol, about, loaders)
    background = loaders.names.index("background") if "background" in loaders.names else None
    return prepare(config, recipe.execution, context, background)


def linear(values: LinearProtocol, about: BackboneSpec | WrappedSpec, loaders: Loaders) -> Config:
    """The config of a run on one process, as a user of mmengine would write it.

    Raises:
        UserError: the recipe's features are those after a final norm, which the backbone has not.
    """
    require_point(values, about)
    config = Config.fromfile(NATIVE)
    for part in ("neck", "auxiliary_head"):
        del config.model[part]
    config.model.backbone = _backbone(values, about)
    config.model.decode_head = _head(values, about)
    # An image narrower than a crop is padded to one and its prediction cut back: mmsegmentation's window would shrink.
    config.model.data_preprocessor.test_cfg = {"size": (values.crop, values.crop)}
    config.optim_wrapper = {"type": "OptimWrapper", "optimizer": _optimizer(values)}
    config.param_scheduler = _schedule(values)
    fit_config(config, values, about, loaders.training, loaders.validation, loaders.keep_zero)
    return config


def require_point(values: LinearProtocol, about: BackboneSpec | WrappedSpec) -> None:
    """Raises UserError if the recipe's features are those after a final norm, which the backbone has not."""
    if values.point == "norm" and not about.final_norm:
        what = f"{about.source} has no final norm, and this probe reads the features after it"
        raise UserError(what, "take the task whose name ends in @raw")


def _backbone(values: LinearProtocol, about: BackboneSpec | WrappedSpec) -> Values:
    return {"type": "FrozenMap", "about": written(about), "crop": values.crop, "norm": values.point == "norm"}


def _head(values: LinearProtocol, about: BackboneSpec | WrappedSpec) -> Values:
    return {
        "type": "BatchNormHead",
        "in_channels": about.embed_dim,
        "channels": about.embed_dim,
        "num_classes": values.classes,
        "dropout_ratio": 0.0,
        "norm_cfg": {"type": "SyncBN", "requires_grad": True},
        "align_corners": False,
        "loss_decode": {"type": "CrossEntropyLoss", "use_sigmoid": False, "loss_weight": 1.0},
    }


def _optimizer(values: LinearProtocol) -> Values:
    return {"type": "AdamW", "lr": values.lr, "betas": (0.9, 0.999), "weight_decay": values.weight_decay}


def _schedule(values: LinearProtocol) -> list[Values]:
    """Decay from the first update on, which the warm-up multiplies, as mmcv had it before mmengine.

    Update ``i`` of ``n`` has the rate lr (1 - i / n), times i / w in a warm-up of ``w`` (beginning at 1e-6).
    mmengine's schedulers reach their end one update before ``end``.
    """
    warmup = {"type": "LinearLR", "start_factor": 1e-6, "begin": 0, "end": values.warmup_steps + 1, "by_epoch": False}
    decay = {"type": "PolyLR", "eta_min": 0.0, "power": 1.0, "begin": 0, "end": values.steps + 1, "by_epoch": False}
    return [warmup, decay] if values.warmup_steps else [decay]
