"""Backbone weights in the names and shapes of mmsegmentation's ``MAE`` (BEiT-style) class, all of them or an error."""

import re

import torch
from mmseg.models.backbones.mae import MAE
from torch import Tensor, nn

from crossmae.backbone import Backbone, resize_patch_kernel, resize_pos_embed
from crossmae.errors import UserError

EXPECTED_MISSING = r"layers\.\d+\.attn\.relative_position_(bias_table|index)"
"""What no ViT checkpoint has: relative position biases, which MAE starts at zero, and the table that indexes them."""

LAYER_SCALE = r"layers\.\d+\.gamma_[12]"
"""Missing where the backbone has no LayerScale; 1.0 in the config makes them the identity."""

LEFT_OUT = {"norm.weight", "norm.bias"}
"""The final norm: UperNet taps un-normed blocks (``final_norm=False`` in the published config)."""

PREFIX_TOKENS = ("cls_token", "reg_token")
"""Joined in the place of mmsegmentation's class token."""

_RENAMES = (
    (r"^patch_embed\.proj\.", "patch_embed.projection."),
    (r"^blocks\.(\d+)\.norm([12])\.", r"layers.\1.ln\2."),
    (r"^blocks\.(\d+)\.attn\.", r"layers.\1.attn."),
    (r"^blocks\.(\d+)\.mlp\.fc1\.", r"layers.\1.ffn.layers.0.0."),
    (r"^blocks\.(\d+)\.mlp\.fc2\.", r"layers.\1.ffn.layers.1."),
    (r"^blocks\.(\d+)\.ls([12])\.gamma$", r"layers.\1.gamma_\2"),
)


def convert(backbone: Backbone, grid: tuple[int, int], patch_size: int) -> dict[str, Tensor]:
    """The weights of ``backbone`` for an ``MAE`` with ``grid`` (rows, columns) patches of ``patch_size`` pixels."""
    state = {_rename(name): value for name, value in backbone.state_dict().items() if name not in LEFT_OUT}
    no_tokens = state["pos_embed"][:, :0]
    state["cls_token"] = torch.cat([state.pop(name, no_tokens) for name in PREFIX_TOKENS], dim=1)
    state["pos_embed"] = resize_pos_embed(state["pos_embed"], grid, backbone.spec.num_prefix)
    kernel = state["patch_embed.projection.weight"]
    state["patch_embed.projection.weight"] = resize_patch_kernel(kernel, patch_size)
    return state


def load_backbone(module: MAE, backbone: Backbone) -> None:
    """Loads ``backbone`` into ``module``.

    Raises:
        UserError: a weight without a place, or a place without a weight beyond those expected; lists them.
    """
    state = convert(backbone, module.patch_shape, module.patch_size)
    expected = EXPECTED_MISSING if backbone.spec.layer_scale else f"{EXPECTED_MISSING}|{LAYER_SCALE}"
    check_names(set(state), set(module.state_dict()), expected)
    places = module.state_dict()
    if wrong := {name for name, value in state.items() if value.shape != places[name].shape}:
        raise UserError(f"the backbone does not fit mmsegmentation's MAE: another shape of {_list(wrong)}")
    module.load_state_dict(state, strict=False)
    for name, table in module.named_parameters():
        if name.endswith("relative_position_bias_table"):
            nn.init.zeros_(table)


def check_names(given: set[str], places: set[str], expected_missing: str) -> None:
    """Compares the names of weights with those of their places.

    Raises:
        UserError: lists what is left over on either side, ``expected_missing`` (a regular expression) aside.
    """
    missing = {name for name in places - given if not re.fullmatch(expected_missing, name)}
    complaints = [f"no weight for {_list(missing)}"] if missing else []
    if given - places:
        complaints.append(f"no place for {_list(given - places)}")
    if complaints:
        raise UserError(f"the backbone does not fit mmsegmentation's MAE: {'; '.join(complaints)}")


def _rename(name: str) -> str:
    for pattern, replacement in _RENAMES:
        name = re.sub(pattern, replacement, name)
    return name


def _list(names: set[str]) -> str:
    shown = sorted(names)[:8]
    return ", ".join(shown) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
