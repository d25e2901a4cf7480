"""Finished detectors in detectron2's formats: its released ``.pkl``, or a ``.pth`` of ours or anybody's."""

import pickle
import re
from math import isqrt
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from crossmae.errors import UserError
from crossmae.model.presets import PRESETS
from detection.build.dims import Dims

State = dict[str, Tensor]
NET = "backbone.net."

_CONSTANTS = re.compile(r"pixel_mean|pixel_std|proposal_generator\.anchor_generator\.cell_anchors\.\d+")
"""What older files hold beside the weights, and the configuration says anyway; detectron2 passes over them too."""

_HARMLESS = {
    ("collections", "OrderedDict"),
    ("_codecs", "encode"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    *((f"numpy.{core}.multiarray", name) for core in ("core", "_core") for name in ("_reconstruct", "scalar")),
}


def read_detector(path: Path) -> State:
    """The weights in ``path`` by detectron2's names, read without running code from the file.

    Raises:
        UserError: no readable file, or no ViTDet in it.
    """
    try:
        content = _read_pickle(path) if path.suffix == ".pkl" else torch.load(path, "cpu", weights_only=True)
    except Exception as error:
        raise UserError(f"{path} is no readable checkpoint: {' '.join(str(error).split())[:160]}") from error
    weights = content.get("model", content)
    arrays = {name: value for name, value in weights.items() if isinstance(value, np.ndarray | Tensor)}
    state = {name: torch.as_tensor(array) for name, array in arrays.items() if not _CONSTANTS.fullmatch(name)}
    if f"{NET}pos_embed" not in state:
        raise UserError(f"{path} holds no ViTDet: it has no weight {NET}pos_embed")
    return state


def dims_of(state: State) -> Dims:
    """The backbone's dimensions, from the shapes of its weights; without relative positions they hold no head count."""
    width = state[f"{NET}pos_embed"].shape[2]
    positions = state[f"{NET}pos_embed"].shape[1]
    depth = len({name.split(".")[3] for name in state if name.startswith(f"{NET}blocks.")})
    hidden = state[f"{NET}blocks.0.mlp.fc1.weight"].shape[0]
    grid = isqrt(positions)
    return Dims(width, depth, _heads(state, width, depth), hidden / width, grid, class_token=grid**2 != positions)


def has_relative_positions(state: State) -> bool:
    """Whether the detector was trained with relative positions."""
    return f"{NET}blocks.0.attn.rel_pos_h" in state


def load_detector(model: nn.Module, state: State, path: Path) -> None:
    """Copies every weight.

    Raises:
        UserError: names or shapes that do not fit.
    """
    places = model.state_dict()
    wrong = sorted(state.keys() ^ places.keys()) or sorted(n for n in state if state[n].shape != places[n].shape)
    if wrong:
        raise UserError(f"{path} does not fit this recipe: {len(wrong)} weights differ, {wrong[0]} for one")
    model.load_state_dict(state)


def _heads(state: State, width: int, depth: int) -> int:
    if has_relative_positions(state):
        return width // int(state[f"{NET}blocks.0.attn.rel_pos_h"].shape[1])
    known = [p["num_heads"] for p in PRESETS.values() if (p["embed_dim"], p["depth"]) == (width, depth)]
    return int(known[0]) if known else width // 64


def _read_pickle(path: Path) -> Any:
    with open(path, "rb") as file:
        return _Unpickler(file, encoding="latin1").load()


class _Unpickler(pickle.Unpickler):
    """Builds arrays and containers only."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _HARMLESS:
            raise pickle.UnpicklingError(f"it wants to run {module}.{name}")
        return super().find_class(module, name)
