"""Files of finished models: ours, mmsegmentation's released UperNet-MAE, or any mmengine checkpoint of one."""

import re
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from crossmae.backbone import BackboneSpec, WrappedSpec
from crossmae.errors import UserError
from crossmae.weights.files import Weights, read_content
from crossmae.wrapped.build import require_no_larger
from crossmae.wrapped.spec import written_in

_TOKENS = "backbone.cls_token"
_KERNEL = "backbone.patch_embed.projection.weight"
_POSITIONS = "backbone.pos_embed"
_HIDDEN = "backbone.layers.0.ffn.layers.0.0.weight"
_BIASES = "backbone.layers.0.attn.relative_position_bias_table"
_DIMENSIONS = {_TOKENS: 3, _KERNEL: 4, _POSITIONS: 3, _HIDDEN: 2, _BIASES: 2}
"""Weights that say how large the backbone is, and their numbers of dimensions."""

_WRAPPED = "backbone.maps."
"""What the weights' names of a wrapped backbone begin with."""


@dataclass(frozen=True)
class Finished:
    """An UperNet's weights, and what its backbone is."""

    weights: Weights
    about: BackboneSpec | WrappedSpec
    wrapped: bool


def read_segmenter(path: Path) -> tuple[Weights, BackboneSpec | WrappedSpec | None]:
    """The weights in a segmenter's file, and what it says of the backbone, if it does; runs no code from it.

    Raises:
        UserError: no such file, unreadable, or a backbone that is larger than the weights.
    """
    content = read_content(path)
    state = content.get("state_dict", content)
    state = state if isinstance(state, dict) else {}
    state = {name: value for name, value in state.items() if isinstance(name, str) and isinstance(value, Tensor)}
    about = written_in(content, str(path))
    if about is not None:
        require_no_larger(about, state, str(path))
    return state, about


def read_finished(path: Path) -> Finished:
    """The UperNet in an mmengine checkpoint (or a bare state), loaded without running code from it.

    Raises:
        UserError: no such file, unreadable, or no UperNet on a MAE backbone or a wrapped one; in one line.
    """
    state, about = read_segmenter(path)
    if about is not None and (isinstance(about, WrappedSpec) or any(name.startswith(_WRAPPED) for name in state)):
        return Finished(state, about, wrapped=True)
    _require_mae(state, path)
    return Finished(state, _spec_of(state, about), wrapped=False)


def _require_mae(state: Weights, path: Path) -> None:
    for name in _DIMENSIONS:
        if not _usable(state.get(name), name):
            raise UserError(f"{path} holds no UperNet on a MAE backbone: it has no usable weight {name}")
    if state[_TOKENS].shape[2] % state[_BIASES].shape[1]:
        raise UserError(f"{path} holds no UperNet on a MAE backbone: its heads do not divide its width")


def _usable(value: Tensor | None, name: str) -> bool:
    if value is None or value.ndim != _DIMENSIONS[name]:
        return False
    return 0 not in (value.shape[2:] if name == _TOKENS else value.shape)  # there may be no prefix token


def _spec_of(state: Weights, about: BackboneSpec | None) -> BackboneSpec:
    """The backbone's dimensions as the weights of an UperNet show them, and what its file says of the rest."""
    token, kernel = state[_TOKENS], state[_KERNEL]
    depth = len({match[1] for name in state if (match := re.match(r"backbone\.layers\.(\d+)\.", name))})
    hidden = state[_HIDDEN].shape[0]
    side = round((state[_POSITIONS].shape[1] - token.shape[1]) ** 0.5)
    shown = BackboneSpec(
        arch=None,
        embed_dim=token.shape[2],
        depth=depth,
        num_heads=state[_BIASES].shape[1],
        patch_size=kernel.shape[-1],
        image_size=side * kernel.shape[-1],
        mlp_ratio=hidden / token.shape[2],
        class_token=token.shape[1] > 0,
        num_registers=max(0, token.shape[1] - 1),
        final_norm=False,
        layer_scale=True,
        source="a finished model",
    )
    if about is None:
        return shown
    return replace(shown, activation=about.activation, norm_eps=about.norm_eps, mean=about.mean, std=about.std)


def require_fit(state: Weights, places: Weights, path: Path) -> None:
    """Compares the names and shapes of ``state`` with those of their ``places``.

    Raises:
        UserError: they differ.
    """
    wrong = sorted(state.keys() ^ places.keys()) or sorted(n for n in state if state[n].shape != places[n].shape)
    if wrong:
        raise UserError(f"{path} does not fit this recipe: {len(wrong)} weights differ, {wrong[0]} for one")
