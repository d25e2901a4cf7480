"""Names of weights and options of the released CrossMAE and MAE code, and ours."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from torch import Tensor

from crossmae.model.presets import PRESETS
from crossmae.parsing import Strict, parse
from crossmae.weights.files import Weights

# Released name -> ours, by prefix; every other released name is the encoder's, whose names are timm's.
_DECODER = {
    "mask_token": "decoder.mask_token",
    "decoder_pos_embed": "decoder.pos_embed",
    "decoder_embed.": "decoder.embed.",
    "decoder_blocks.": "decoder.blocks.",
    "decoder_norm.": "decoder.norm.",
    "decoder_pred.": "decoder.pred.",
    "dec_norms.": "decoder.mixing.norms.",
    "wfm.linear.weight": "decoder.mixing.weight",
    # The released code has no map projections (Table 9): this name is ours.
    "wfm.projections.": "decoder.mixing.projections.",
}

# Released model -> our preset.
_MODELS = {
    "mae_vit_small_patch16": "vit_s16",
    "mae_vit_base_patch16": "vit_b16",
    "mae_vit_large_patch16": "vit_l16",
    "mae_vit_huge_patch14": "vit_h14",
}


@dataclass(frozen=True)
class _Arguments(Strict):
    """What is read of the ``args`` of a released file."""

    model: str
    mask_ratio: float
    norm_pix_loss: bool = False
    cross_mae: bool = False
    kept_mask_ratio: float | None = None
    use_input: bool = False
    weight_fm: bool = False
    use_fm: tuple[int, ...] = (-1,)


def from_official(weights: Mapping[str, Tensor]) -> Weights:
    """Our names for weights with released ones."""
    return {our_name(name): tensor for name, tensor in weights.items()}


def to_official(weights: Mapping[str, Tensor]) -> Weights:
    """Released names for weights with ours."""
    return {official_name(name): tensor for name, tensor in weights.items()}


def our_name(official: str) -> str:
    """``decoder_blocks.0.norm1.bias`` -> ``decoder.blocks.0.norm1.bias``, ``norm.bias`` -> ``encoder.norm.bias``."""
    for released, ours in _DECODER.items():
        if official.startswith(released):
            return ours + official.removeprefix(released)
    return f"encoder.{official}"


def official_name(ours: str) -> str:
    """The inverse of ``our_name``."""
    for released, our_prefix in _DECODER.items():
        if ours.startswith(our_prefix):
            return released + ours.removeprefix(our_prefix)
    return ours.removeprefix("encoder.")


def from_arguments(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Options named as in MAEConfig from the ``args`` of a ``.pth``; empty if not a pretraining run's."""
    if "mask_ratio" not in arguments or "model" not in arguments:
        return {}
    known = {field.name: arguments[field.name] for field in fields(_Arguments) if field.name in arguments}
    run = parse(_Arguments, known, "args of the weight file")
    options = {"mask_ratio": run.mask_ratio, "norm_pix_loss": run.norm_pix_loss, **_heads(run.model)}
    return options | (_cross(run) if run.cross_mae else {})


def _heads(model: str) -> dict[str, int]:
    preset = PRESETS.get(_MODELS.get(model.removesuffix("_dec512d8b"), ""), {})
    if not preset:
        return {}
    return {"num_heads": preset["num_heads"], "decoder_num_heads": preset.get("decoder_num_heads", 16)}


def _cross(run: _Arguments) -> dict[str, Any]:
    options: dict[str, Any] = {
        "prediction_ratio": run.mask_ratio if run.kept_mask_ratio is None else run.kept_mask_ratio,
        "use_input": run.use_input,
    }
    if run.weight_fm:
        blocks = list(run.use_fm)
        # In the released code a lone -1 stands for all blocks.
        options["feature_maps"] = "all" if blocks == [-1] else blocks
    return options
