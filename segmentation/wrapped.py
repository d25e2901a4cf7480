"""UperNet on any backbone: its own feature maps in place of mmsegmentation's MAE class.

A second protocol. Positions are the backbone's own, there are no relative position biases and no LayerScale is added,
prefix tokens (class tokens, registers) stay in the sequence, and kernels of other patches keep their response. A
backbone with one stride is tapped four times, one with stages at each of them, and then there is no neck. Learning
rates decay over the backbone's own layers; biases, norms, tokens and positions have no weight decay.
"""

from collections.abc import Iterator
from typing import Any

from mmengine.model import BaseModule
from mmengine.optim import DefaultOptimWrapperConstructor
from mmengine.registry import MODELS, OPTIM_WRAPPER_CONSTRUCTORS
from torch import Tensor, nn

from crossmae.backbone import Backbone, BackboneSpec, WrappedSpec
from crossmae.errors import UserError
from crossmae.wrapped.build import sketch
from crossmae.wrapped.layers import decayed_groups
from crossmae.wrapped.maps import default_taps, quarters, strides_and_channels
from crossmae.wrapped.spec import written, written_in
from segmentation.recipe import UperNetProtocol

Values = dict[str, Any]

PROTOCOL = "backbone wrapped: prefix tokens kept, no relative position biases"
"""Stands as a deviation in the record of every run on it in a task with a protocol of its own."""

_LEVELS = 4


@MODELS.register_module()
class WrappedMaps(BaseModule):
    """The maps of any backbone; initial weights until ``load_backbone``.

    Args:
        about: what ``crossmae.wrapped.spec.written`` gives of its specification.
        options: as those of ``Backbone.maps``.
    """

    def __init__(self, about: dict[str, str], **options: Any) -> None:
        super().__init__()
        spec = written_in(about, "the configuration")
        assert spec is not None
        self.options = options
        self.maps = Backbone({}, spec).maps(**options)

    def init_weights(self) -> None:
        """Leaves the weights as they are: ``load_backbone`` replaces them."""

    def load_backbone(self, backbone: Backbone) -> None:
        """Takes the weights of ``backbone``, of the same specification."""
        self.maps.load_state_dict(backbone.maps(**self.options).state_dict())

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Images (N, 3, H, W) to one map (N, C, h, w) per level."""
        return tuple(self.maps(images))


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class WrappedLayerDecay(DefaultOptimWrapperConstructor):
    """Layer decay over the backbone's own layers; mmsegmentation's knows three classes by name."""

    def add_params(self, params: list[Values], module: nn.Module, **_: Any) -> None:
        """Appends the groups of all parameters of ``module``, a segmenter on ``WrappedMaps``."""
        trunk = module.backbone.maps.trunk  # type: ignore[union-attr]
        rate = self.paramwise_cfg["layer_decay_rate"]
        for group in decayed_groups(module, trunk, self.base_wd, rate):  # type: ignore[arg-type]
            params.append({**group, "lr": self.base_lr * group["lr_scale"]})


def wrapped_parts(values: UperNetProtocol, about: BackboneSpec | WrappedSpec) -> Values:
    """The ``backbone`` of the native config, and what the widths of its maps decide.

    Raises:
        UserError: a backbone without four levels.
    """
    taps, channels = _levels(values, about)
    if len(taps) != _LEVELS:
        what = f"{about.source} has {len(taps)} blocks or stages to tap, UperNet takes {_LEVELS}"
        raise UserError(what, "take a deeper backbone")
    options = {"image_size": values.crop, "taps": taps, "drop_path": values.drop_path}
    if not about.staged:
        options["patch_size"] = values.patch_size
    return {
        "backbone": {"_delete_": True, "type": WrappedMaps.__name__, "about": written(about), **options},
        "neck": {"embed_dim": channels[0]},
        "decode_head": {"in_channels": channels},
        "auxiliary_head": {"in_channels": channels[2]},
    }


def wrapped_departures(values: UperNetProtocol, about: BackboneSpec | WrappedSpec) -> Iterator[str]:
    """How a wrapped backbone is tapped other than the recipe says."""
    if not about.staged and (taps := _levels(values, about)[0]) != list(values.out_indices or ()):
        yield f"taps blocks {', '.join(map(str, taps))} of {about.depth}, counted from 0: the last of each quarter"


def _levels(values: UperNetProtocol, about: BackboneSpec | WrappedSpec) -> tuple[list[int], list[int]]:
    """Taps, counted from 0, and the channels of their maps.

    Those of the recipe if they end with the backbone's last block, else the last block of each quarter; all stages.
    """
    if isinstance(about, WrappedSpec) and about.staged:
        strides, channels = strides_and_channels(sketch(about.model, about.options))
        taps = default_taps(strides)
        return taps, [channels[tap] for tap in taps]
    asked = list(values.out_indices or ())
    return asked if max(asked) == about.depth - 1 else quarters(about.depth), [about.embed_dim] * _LEVELS
