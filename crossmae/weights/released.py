"""Names of the released CrossMAE and MAE code, and ours."""

from collections.abc import Mapping

from torch import Tensor

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
