"""Finished detectors in detectron2's formats: its released ``.pkl``, or a ``.pth`` of ours or anybody's."""

import pickle
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from math import isqrt
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from crossmae.backbone import Backbone, BackboneSpec, WrappedSpec
from crossmae.errors import UserError
from crossmae.files import open_regular
from crossmae.model.presets import PRESETS
from crossmae.recipe import Recipe
from crossmae.weights.files import read_content
from crossmae.weights.fit import misfit
from crossmae.wrapped.build import require_no_larger
from crossmae.wrapped.spec import written_in
from detection.build.dims import Dims
from detection.evaluation.metrics import score
from detection.recipe import Masks
from detection.run import CocoData, build_model, start_run
from transfer.task import Context

Weights = dict[str, Tensor]
NET = "backbone.net."

WRAPPED_NET = f"{NET}maps.trunk.pos_embed"
"""A weight that a plain ViT has where it was wrapped."""

_CONSTANTS = re.compile(r"pixel_mean|pixel_std|proposal_generator\.anchor_generator\.cell_anchors\.\d+")
"""What older files hold next to the weights, and the configuration says anyway; detectron2 passes over it, too."""

_BLOCK = re.compile(re.escape(NET) + r"blocks\.(\d{1,6})\..+")

_HARMLESS = {
    ("collections", "OrderedDict"),
    ("_codecs", "encode"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    *((f"numpy.{core}.multiarray", name) for core in ("core", "_core") for name in ("_reconstruct", "scalar")),
}


def evaluate_vitdet(path: Path, recipe: Recipe, context: Context, masks: Masks = "polygon") -> dict[str, float]:
    """Evaluates the finished detector in ``path``.

    Returns:
        Box and mask AP in percent, on every process.

    Raises:
        UserError: the file is unreadable or does not fit the recipe, or the data is unusable.
    """
    weights, about = _weights_and_spec(path)
    with start_run(recipe, context, _net(weights, about), masks) as run:
        data = CocoData.read(run)
        model = build_model(run, has_relative_positions(weights))
        load_detector(model, weights, path)
        return dict(run.world.share(score(model, data, run)))


def read_detector(path: Path) -> Weights:
    """Reads the weights in ``path`` by detectron2's names, without running code from the file.

    Raises:
        UserError: no readable file, or no ViTDet in it.
    """
    return _weights_and_spec(path)[0]


def _weights_and_spec(path: Path) -> tuple[Weights, BackboneSpec | WrappedSpec | None]:
    """The weights, and what the file says of its backbone: ours do, others do not."""
    content = _read(path)
    weights = content.get("model", content) if isinstance(content, Mapping) else None
    if not isinstance(weights, Mapping):
        raise UserError(f"{path} holds no named weights", "name a detector's file")
    tensors = {name: _tensor(value, name, path) for name, value in weights.items() if _is_weight(name, value)}
    about = written_in(content, str(path))
    if about is not None:
        require_no_larger(about, tensors, str(path))
    if not isinstance(about, WrappedSpec) and WRAPPED_NET not in tensors and (problem := _no_vitdet(tensors)):
        raise UserError(f"{path} holds no ViTDet: {problem}")
    return tensors, about


def _net(weights: Weights, about: BackboneSpec | WrappedSpec | None) -> Dims | Backbone:
    """What the detector of these weights is built on: its sizes as they show, the rest as its file says."""
    if isinstance(about, WrappedSpec) or (about is not None and WRAPPED_NET in weights):
        return Backbone({}, about)
    dims = dims_of(weights)
    if about is None:
        return dims
    heads = dims.num_heads if has_relative_positions(weights) else about.num_heads
    return replace(
        dims,
        num_heads=heads,
        activation=about.activation,
        norm_eps=about.norm_eps,
        mean=about.mean,
        std=about.std,
    )


def dims_of(weights: Weights) -> Dims:
    """Reads the backbone's dimensions off the shapes of its weights, as ``read_detector`` returns them.

    Without relative positions no shape gives the number of heads; it is that of the preset of the same width and depth.
    """
    width = weights[f"{NET}pos_embed"].shape[2]
    positions = weights[f"{NET}pos_embed"].shape[1]
    depth = len(_blocks(weights))
    hidden = weights[f"{NET}blocks.0.mlp.fc1.weight"].shape[0]
    grid = isqrt(positions)
    return Dims(width, depth, _heads(weights, width, depth), hidden / width, grid, class_token=grid**2 != positions)


def has_relative_positions(weights: Weights) -> bool:
    """Whether the detector was trained with relative positions."""
    return f"{NET}blocks.0.attn.rel_pos_h" in weights


def load_detector(model: nn.Module, weights: Weights, path: Path) -> None:
    """Copies every weight.

    Raises:
        UserError: names or shapes that do not fit.
    """
    if complaint := misfit(model.state_dict(), weights):
        raise UserError(f"{path} does not fit this recipe: {complaint}")
    model.load_state_dict(weights)


def _read(path: Path) -> Any:
    if path.suffix != ".pkl":
        return read_content(path)
    if not path.is_file():
        raise UserError(f"no weight file {path}", "give the path of a .pkl or .pth file")
    try:
        return _read_pickle(path)
    except Exception as error:  # what is no pickle fails in every way there is
        # Not in torch's words, whose advice is to trust the file.
        reason = str(error) if isinstance(error, _HoldsCode) else "it is damaged, or holds something else than weights"
        raise UserError(f"{path} is no readable checkpoint: {reason}; nothing of it was run") from error


def _is_weight(name: Any, value: Any) -> bool:
    return isinstance(name, str) and isinstance(value, np.ndarray | Tensor) and not _CONSTANTS.fullmatch(name)


def _tensor(value: Any, name: str, path: Path) -> Tensor:
    try:
        tensor = torch.as_tensor(np.ascontiguousarray(value) if isinstance(value, np.ndarray) else value)
        # A view without strides claims more numbers than its file holds.
        if tensor.layout == torch.strided and tensor.untyped_storage().nbytes() >= tensor.numel() * tensor.itemsize:
            return tensor.reshape(value.shape)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"{path} is no readable checkpoint: {name} is no array of numbers") from error
    raise UserError(f"{path} is no readable checkpoint: {name} has fewer numbers than its shape says")


def _no_vitdet(weights: Weights) -> str | None:
    """What the weights lack of a ViTDet's backbone, if anything; else ``dims_of`` can read them."""
    needed = {f"{NET}pos_embed": 3, f"{NET}blocks.0.mlp.fc1.weight": 2, f"{NET}blocks.0.attn.rel_pos_h": 2}
    for name, dimensions in needed.items():
        if name not in weights:
            if "rel_pos" not in name:
                return f"it has no weight {name}"
        elif weights[name].dim() != dimensions or not weights[name].numel():
            return f"{name} has the shape {tuple(weights[name].shape)}"
    if (blocks := sorted(_blocks(weights))) != list(range(len(blocks))):
        return f"its blocks are {_some(blocks)}"
    return None


def _blocks(weights: Weights) -> set[int]:
    return {int(match[1]) for name in weights if (match := _BLOCK.fullmatch(name))}


def _some(numbers: Iterable[int]) -> str:
    shown = ", ".join(str(number) for number in numbers)
    return shown if len(shown) <= 40 else f"{shown[:37]}..."


def _heads(weights: Weights, width: int, depth: int) -> int:
    if has_relative_positions(weights):
        return max(1, width // int(weights[f"{NET}blocks.0.attn.rel_pos_h"].shape[1]))
    heads = [p["num_heads"] for p in PRESETS.values() if (p["embed_dim"], p["depth"]) == (width, depth)]
    return int(heads[0]) if heads else max(1, width // 64)


def _read_pickle(path: Path) -> Any:
    with open_regular(path) as file:
        return _Unpickler(file, encoding="latin1").load()


class _HoldsCode(pickle.UnpicklingError):
    """A pickle names something that is neither an array nor a container."""


class _Unpickler(pickle._Unpickler):
    """Builds arrays and containers only.

    Python's own, since that in C makes room for as many objects as the largest number in the file says.
    """

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _HARMLESS:
            raise _HoldsCode(f"it wants to run {module}.{name}")
        return super().find_class(module, name)
