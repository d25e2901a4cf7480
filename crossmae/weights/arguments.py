"""Options of the released code's runs (``args`` in a ``.pth``) as options of ours."""

from collections.abc import Mapping
from typing import Any

from crossmae.model.presets import PRESETS

_MODELS = {
    "mae_vit_small_patch16": "vit_s16",
    "mae_vit_base_patch16": "vit_b16",
    "mae_vit_large_patch16": "vit_l16",
    "mae_vit_huge_patch14": "vit_h14",
}


def from_arguments(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Options named as in MAEConfig; empty if ``arguments`` are not those of a released pretraining run."""
    if "mask_ratio" not in arguments or "model" not in arguments:
        return {}
    options = {
        "mask_ratio": float(arguments["mask_ratio"]),
        "norm_pix_loss": bool(arguments.get("norm_pix_loss", False)),
        **_heads(str(arguments["model"])),
    }
    return options | (_cross(arguments) if arguments.get("cross_mae") else {})


def _heads(model: str) -> dict[str, int]:
    preset = PRESETS.get(_MODELS.get(model.removesuffix("_dec512d8b"), ""), {})
    if not preset:
        return {}
    return {"num_heads": preset["num_heads"], "decoder_num_heads": preset.get("decoder_num_heads", 16)}


def _cross(arguments: Mapping[str, Any]) -> dict[str, Any]:
    options: dict[str, Any] = {
        "prediction_ratio": float(arguments.get("kept_mask_ratio", arguments["mask_ratio"])),
        "use_input": bool(arguments.get("use_input", False)),
    }
    if arguments.get("weight_fm"):
        blocks = list(arguments.get("use_fm", [-1]))
        # In the released code a lone -1 stands for all blocks.
        options["feature_maps"] = "all" if blocks == [-1] else blocks
    return options
